"""The arguments of a method of a controller, which PHP binds by name and type before the method runs.

Facts: main/lib/engine/autowire (source), and the tables of errors that the docs have for such methods. What cannot be
bound is refused with the code 100.
"""

from __future__ import annotations

from relay.sandbox import php
from relay.sandbox.answers import RestError
from relay.sandbox.calls import RestCall


def whole(call: RestCall, name: str) -> int:
    """An argument of type int."""
    given = call.get(name.upper())
    if given is None:
        raise _missing(name)
    text = php.to_string(given)
    if text is None or not text.strip().lstrip("+-").isdecimal():
        raise _unfit(name, text, "int")
    return php.to_int(text)


def table(call: RestCall, name: str) -> dict[str, object]:
    """An argument of type array, by its keys."""
    if call.get(name.upper()) is None:
        raise _missing(name)
    return optional_table(call, name)


def optional_table(call: RestCall, name: str) -> dict[str, object]:
    """The same, which may be left out."""
    given = call.get(name.upper())
    members = {} if given is None else php.as_map(given)
    if members is None:
        raise _unfit(name, php.to_string(given), "array")
    return members


def _missing(name: str) -> RestError:
    return RestError("100", f"Could not find value for parameter {{{name}}}")


def _unfit(name: str, given: str | None, kind: str) -> RestError:
    shown = "Array" if given is None else given
    return RestError(
        "100", f"Invalid value {{{shown}}} to match with parameter {{{name}}}. Should be value of type {kind}."
    )
