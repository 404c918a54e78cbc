"""The one collector of mistakes: handed down to whatever reads a part of the configuration, so that all come at once.

Who is handed one adds to it and goes on with what is right; who made it raises at the end. It reads nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from relay.core.errors import ConfigError, Mistake

MANY = 20


class Mistakes:
    """Every mistake found so far, each once, by file and line; those of one line in the order they were found."""

    def __init__(self) -> None:
        self._found: dict[Mistake, None] = {}

    def __iter__(self) -> Iterator[Mistake]:
        return iter(sorted(self._found, key=lambda mistake: (mistake.file, mistake.line)))

    def __len__(self) -> int:
        return len(self._found)

    @property
    def are_many(self) -> bool:
        """Whether these are mended before anybody needs a hint for one more."""
        return len(self._found) >= MANY

    def add(self, *mistakes: Mistake) -> None:
        """Some more; the same one again is no other."""
        self._found |= dict.fromkeys(mistakes)

    @contextmanager
    def catching(self) -> Iterator[None]:
        """Take the mistakes of a ConfigError that is raised within, and go on behind it."""
        try:
            yield
        except ConfigError as error:
            self.add(*error.mistakes)

    def raise_any(self) -> None:
        """Raises ConfigError with all of them, if there are any."""
        if self._found:
            raise ConfigError(tuple(self))


@contextmanager
def collecting(handed_down: Mistakes | None) -> Iterator[Mistakes]:
    """The collector that was handed down; where there is none, a new one that raises ConfigError at the end."""
    mistakes = Mistakes() if handed_down is None else handed_down
    yield mistakes
    if handed_down is None:
        mistakes.raise_any()
