"""The HTTP request that carried an event, as plain values. Nothing here is proven, and nothing of it is printed."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


class Headers(Mapping[str, str]):
    """Headers by name, in any case. A header that came more than once is joined with a comma, as HTTP says
    (RFC 9110, section 5.3).
    """

    __slots__ = ("_values",)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._values: dict[str, str] = {}
        for name, value in pairs:
            key = name.lower()
            self._values[key] = f"{self._values[key]}, {value}" if key in self._values else value

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def get(self, name: str, default: Any = None) -> Any:
        # Mapping's own raises and catches an error for each header that is not there.
        return self._values.get(name.lower(), default)

    def items(self) -> ItemsView[str, str]:
        return self._values.items()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Headers({len(self)} names)"


@dataclass(frozen=True, slots=True)
class Webhook:
    """One request. `headers` may be any map (or Headers of pairs, where names can repeat); it is kept as Headers.

    query_string: what follows the `?`, still encoded. public_url: the address as the sender called it, with its query.
    """

    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=Headers, repr=False)
    query_string: str = field(default="", repr=False)
    body: bytes = field(default=b"", repr=False)
    remote_address: str = ""
    public_url: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.headers, Headers):
            object.__setattr__(self, "headers", Headers(self.headers.items()))

    def header(self, name: str) -> str | None:
        """The value of a header, by its name in any case."""
        found: str | None = self.headers.get(name)
        return found

    @property
    def content_type(self) -> str:
        """The Content-Type header, or an empty text."""
        return self.header("content-type") or ""
