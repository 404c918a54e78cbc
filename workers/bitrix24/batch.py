"""`batch`: up to fifty calls in one request. Builds the commands and takes the answer apart. Pure.

Sources: docs settings/how-to-call-rest-api/batch.md; source rest/classes/general/rest_provider.php methodsBatch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from relay.core.spellings import written
from workers.bitrix24.answers import Answer, Fault
from workers.bitrix24.client import answer_from_payload

BATCH = "batch"


def batch_parameters(calls: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """One `batch` of calls, each a method with its parameters. Every command runs, whatever the others answer."""
    commands = {_key(index): f"{method}?{to_query(parameters)}" for index, (method, parameters) in enumerate(calls)}
    return {"halt": 0, "cmd": commands}


def answers_of(answer: Answer, count: int) -> list[Answer]:
    """The answer to each command of a batch, in order. A fault or error of the whole is everybody's."""
    if answer.fault or answer.code is not None:
        return [answer] * count
    if not isinstance(answer.result, Mapping):
        return [replace(answer, result=None, fault=Fault.UNREADABLE)] * count
    return [_command_answer(answer, _key(index)) for index in range(count)]


def to_query(parameters: Mapping[str, Any]) -> str:
    """Parameters as a query that PHP's parse_str reads back; every value percent-encoded once."""
    return "&".join(f"{quote(name, safe='[]')}={quote(value, safe='')}" for name, value in _flat(parameters))


def _key(index: int) -> str:
    # A key that begins with a letter: PHP turns keys 0..n into a list.
    return f"d{index}"


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _flat(entry, f"{name}[{key}]" if name else str(key))
    elif isinstance(value, list | tuple):
        for index, entry in enumerate(value):
            yield from _flat(entry, f"{name}[{index}]")
    else:
        # As PHP writes yes and no into a query; "False" would be a text, and so true.
        yield name, str(int(value)) if isinstance(value, bool) else written(value)


def _command_answer(answer: Answer, key: str) -> Answer:
    result, errors = _section(answer, "result"), _section(answer, "result_error")
    status = answer.status or 200
    if key in errors:
        error = errors[key] if isinstance(errors[key], Mapping) else {"error": str(errors[key])}
        return answer_from_payload({"error": "", **error}, answer.at, answer.duration_ms, status)
    if key in result:
        payload = {"result": result[key], "time": _section(answer, "result_time").get(key)}
        return answer_from_payload(payload, answer.at, answer.duration_ms, status)
    return Answer(answer.at, answer.duration_ms, answer.status, fault=Fault.NOT_EXECUTED)


def _section(answer: Answer, name: str) -> Mapping[str, Any]:
    """A part of the answer; an empty one comes as a list."""
    section = answer.result.get(name)
    return section if isinstance(section, Mapping) else {}
