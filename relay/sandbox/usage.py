"""The one error for those who operate the sandbox, as distinct from the errors that the pretend portal plays."""

from __future__ import annotations


class UsageError(ValueError):
    """An order to the sandbox itself cannot be used. The text is one sentence that says what was expected."""
