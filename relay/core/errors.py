"""Every exception of the project, as one tree. Standard library only; may import nothing of ours.

RelayError
├── ConfigError              the configuration cannot be used; carries every Mistake
├── NotVerifiedError         a webhook's sender is not proven; `reason` is for us, never for the sender
├── UnreadableError          the body cannot be understood (400)
│   ├── WrongCharsetError    its bytes are not text in the expected charset
│   └── TooLargeError        it holds more than one request may (413)
├── UnsupportedTypeError     the relay cannot read this content type or encoding (415)
├── LimitedError             a source exceeds its limit; carries the seconds to wait (429)
├── InvalidEventError        a rule matched but could not be filled; carries errors by field (422)
├── ArchiveError             a file of the archive cannot be written or read; the text says which, and why
├── RecordUnavailableError   Redis cannot write now; nothing was promised (503)
├── UnsignableError          a sample cannot be signed here, such as one with a private key
├── NotFoundError            no such event, delivery, rule or portal
├── ChangedError             a file has changed since its editing began
├── NotWritableError         the folder of the configuration cannot be written here
├── IllegalTransitionError   the state machine has no such step
└── LostRace                 another process got there first; normal control flow, so no "Error"
    └── WorkflowTaken        the workflow is on record for another delivery
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class RelayError(Exception):
    """The root of all exceptions that this project raises on purpose."""

    @property
    def message(self) -> str:
        """The text, as a Fault or a Phrase if it was raised with one; `str(error)` would turn that into plain
        English.
        """
        return self.args[0] if self.args and isinstance(self.args[0], str) else str(self)


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that an operator has to correct.

    file: the path as the operator named it, or "environment".
    line: counted from 1; 0 where no line applies.
    fault: what was found and what was expected (a Fault), never a secret.
    keys: the keys and indexes that lead to it in the file.
    """

    file: str
    line: int
    fault: str
    keys: tuple[str | int, ...] = ()

    @property
    def place(self) -> str:
        """The file, and its line if there is one."""
        return f"{self.file}:{self.line}" if self.line else self.file

    @property
    def named(self) -> str:
        """The keys as a path, `start.portal`."""
        return ".".join(str(key) for key in self.keys)

    @property
    def text(self) -> str:
        """The keys, then the fault."""
        return ": ".join(filter(None, [self.named, str(self.fault)]))

    def __str__(self) -> str:
        return ": ".join(filter(None, [self.place, self.text]))


class ConfigError(RelayError):
    """Configuration that cannot be used. All mistakes are reported together."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = tuple(mistakes)


class NotVerifiedError(RelayError):
    """The sender is not proven. `reason` is a word for our log and record, such as "signature_mismatch"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnreadableError(RelayError):
    """The body is not what its content type says. Raised with a Fault, which names no content."""


class WrongCharsetError(UnreadableError):
    """The bytes are not text in the charset that was named or tried. They may be in another one."""


class TooLargeError(UnreadableError):
    """A request holds more than is allowed. Raised with a Fault, which names the limit."""


class UnsupportedTypeError(RelayError):
    """The relay cannot read this content type or encoding. Raised with a Fault, which says what helps."""


class LimitedError(RelayError):
    """A source exceeds its limit; nothing was kept. retry_after_s: seconds until it may send again."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class InvalidEventError(RelayError):
    """A rule could not use the event. `errors` maps a field to its faults, which contain no values of the event.

    personal: texts of the event that belong to a person, by which it is found and erased. They are in no repr.
    """

    def __init__(self, errors: Mapping[str, Sequence[str]], personal: Sequence[str] = ()) -> None:
        super().__init__(", ".join(sorted(errors)))
        self.errors = {field: list(messages) for field, messages in errors.items()}
        self.personal = tuple(personal)


class RecordUnavailableError(RelayError):
    """Redis is away, read-only or full. The sender must try again."""


class ArchiveError(RelayError):
    """The archive cannot be written or read now. The text names the file and the system's reason, but no content."""


class UnsignableError(RelayError):
    """A webhook cannot be given its proof here; the text says why."""


class NotFoundError(RelayError):
    """The thing asked for is not on record."""


class ChangedError(RelayError):
    """A file has changed since its editing began; nothing was written. The text names the file."""


class NotWritableError(RelayError):
    """The folder of the configuration cannot be written here. The text names the file and the system's reason."""


class NoAddressError(RelayError):
    """A start needs a completion callback, and the relay does not know its own address."""


class IllegalTransitionError(RelayError):
    """The table in relay/core/lifecycle.py has no such step."""


class LostRace(RelayError):  # noqa: N818 - control flow, not a fault
    """The compare-and-swap found another state: another process got there first."""


class MovedOn(LostRace):
    """It is no longer in the state that was read."""


class WorkflowTaken(LostRace):
    """The workflow that was found belongs to another delivery."""
