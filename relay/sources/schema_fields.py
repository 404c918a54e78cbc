"""What sources and profiles are made of beside numbers: paths, templates, lists of words. As marshmallow fields."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from marshmallow import ValidationError, fields

from relay.configuration.expressions import Expression, ExpressionError
from relay.configuration.fields import Text, Wanted
from relay.core.faults import Fault, fault
from relay.sources.proof.signed import Signed, read_signed
from relay.sources.reading import ROOTS

HEADER_NAME = r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}"
VARIABLE = r"[A-Z][A-Z0-9_]{0,99}"
A_VARIABLE = fault("expected_variable")
SOME_VARIABLES = fault("expected_variables")


class Words(Wanted):
    """A list of words, each matching a pattern."""

    def __init__(self, expected: Fault, pattern: str, **options: Any) -> None:
        self.expected, self.pattern = expected, re.compile(pattern, re.DOTALL)
        super().__init__(**options)

    def read(self, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not value:
            raise ValueError
        if not all(isinstance(word, str) and self.pattern.fullmatch(word) for word in value):
            raise ValueError
        return tuple(dict.fromkeys(value))


class Yes(Wanted):
    """`true`, to switch something on."""

    expected = fault("expected_true")

    def read(self, value: Any) -> bool:
        if value is not True:
            raise ValueError
        return True


class Path(Wanted):
    """A JMESPath expression. known: the names that it may begin with; None: a path into the body itself."""

    def __init__(self, known: Collection[str] | None = ROOTS, **options: Any) -> None:
        self.known = known
        self.expected = fault("expected_path", names=list(known)) if known else fault("expected_path_into_body")
        super().__init__(**options)

    def read(self, value: Any) -> Expression:
        if not isinstance(value, str):
            raise ValueError  # noqa: TRY004 - Wanted says what it expected
        return parsed(value, self.known)


class SignedText(Wanted):
    """What is signed (relay/sources/proof/signed.py)."""

    expected = fault("expected_signed")

    def read(self, value: Any) -> Signed:
        try:
            return read_signed(value)
        except ValueError as error:
            if error.args:
                raise ValidationError(list(error.args)) from None
            raise


class Whole(fields.Nested):
    """A map that is compared with what stands beside it, and only if there is no mistake in it."""

    def _deserialize(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super()._deserialize(*arguments, **options)
        except ValidationError as error:
            raise ValidationError(error.messages) from None


def header(**options: Any) -> Text:
    """The name of a header."""
    return Text(fault("expected_header_name"), HEADER_NAME, **options)


def secrets(**options: Any) -> Words:
    """The names of the variables that hold secrets."""
    return Words(SOME_VARIABLES, VARIABLE, **options)


def parsed(text: str, known: Collection[str] | None) -> Expression:
    """An expression. Raises ValidationError."""
    try:
        return Expression.parse(text, known)
    except ExpressionError as error:
        raise ValidationError(list(error.messages)) from None
