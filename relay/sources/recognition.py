"""Recognises senders: the profiles that an event of an inbox looks like, and the signs.

An inbox (`profile: inbox`) takes any request with its token, to show what a sender sends before it is set up.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from relay.configuration.files import Mistakes
from relay.core.errors import UnreadableError, UnsupportedTypeError
from relay.core.events import Event
from relay.core.phrases import phrase
from relay.sources.bodies import BodyReader, is_xml, read_query
from relay.sources.loading import OWN_PROFILES, Profile, Profiles
from relay.sources.source import INBOX, Source

ENOUGH = 3
"""Points from which an event looks like a profile."""
SHOWN = 3
UNKNOWN = phrase(
    "It looks like no sender that the relay knows. Give it a source with the proof that its documentation speaks of, "
    "or with a token: config/guide/proofs.md."
)
COMMON = frozenset({"accept", "authorization", "content-type", "content-length", "user-agent", "x-relay-token"})
"""Headers that identify nobody: everybody's, and our own."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """A profile that an event looks like. signs: the reasons, in words."""

    profile: Profile
    points: int
    signs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Signs by which a profile's sender is recognised. agent: its User-Agent name, in lower case.

    proofs, headers: names in lower case. fields: those of its sample's body, or of the query of a GET, with their
    texts. own: fields that no other profile has.
    """

    profile: Profile
    proofs: frozenset[str]
    headers: frozenset[str]
    agent: str
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)
    own: frozenset[str] = frozenset()

    @classmethod
    def of(cls, profile: Profile) -> Fingerprint:
        """Read them from a profile."""
        sample, dedup = profile.sample, profile.content["dedup"] or {}
        sent = {name.lower(): value for name, value in (sample.get("headers") or {}).items()}
        named = {*sent, (dedup.get("header") or "").lower()} - {""}
        proofs = {way.get("header").lower() for way in profile.content["verify"] if way.get("header")}
        return cls(
            profile,
            frozenset(proofs - COMMON),
            frozenset(named - proofs - COMMON),
            _agent(str(sent.get("user-agent", ""))),
            _fields(_body_of(sample)),
        )

    def likeness(self, headers: Mapping[str, str], body: Any) -> Likeness:
        """Compare an event with them."""
        found = list(self._signs(headers, _fields(body)))
        return Likeness(self.profile, sum(points for points, _ in found), tuple(sign for _, sign in found))

    def _signs(self, headers: Mapping[str, str], fields: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
        for name in sorted(self.proofs & headers.keys()):
            yield 3, phrase("the header %(name)s", name=name)
        for name in sorted(self.headers & headers.keys()):
            yield 2, phrase("the header %(name)s", name=name)
        if self.agent and _agent(headers.get("user-agent", "")) == self.agent:
            yield 2, phrase("its name, %(name)s", name=self.agent)
        shared = self.fields.keys() & fields.keys()
        own = sorted(shared & self.own)[:2]
        if len(shared) < 2 or len(shared) * 4 < len(self.fields) * 3:
            for name in own:
                yield 2, phrase("the field %(name)s", name=name)
            return
        points = 2 * len(own) + 2 + (len(shared) == len(self.fields))
        yield points, phrase("the fields %(names)s", names=tuple(sorted(shared)[:6]))
        for name in sorted(shared):
            # Compare words such as `"object": "page"`, not people's texts, nor numbers that may be equal by chance.
            if isinstance(fields[name], str) and fields[name] == self.fields[name]:
                yield 1, phrase("%(name)s is %(value)s", name=name, value=repr(fields[name][:40]))


def recognise(headers: Mapping[str, str], body: Any, fingerprints: Iterable[Fingerprint]) -> list[Likeness]:
    """The profiles that an event looks like, the most similar first. headers: by lower-case names. body: as read."""
    found = [one.likeness(headers, body) for one in fingerprints]
    found = [one for one in found if one.points >= ENOUGH]
    return sorted(found, key=lambda one: (-one.points, one.profile.name))[:SHOWN]


@functools.lru_cache(maxsize=4)
def all_fingerprints(folder: Path) -> tuple[Fingerprint, ...]:
    """The fingerprints of every profile that this configuration may use. Read once per process: it takes a second."""
    profiles = Profiles(folder / OWN_PROFILES).every(Mistakes())
    fingerprints = [Fingerprint.of(profile) for profile in profiles if profile.name != INBOX]
    counts = Counter(name for one in fingerprints for name in one.fields)
    return tuple(replace(one, own=frozenset(name for name in one.fields if counts[name] == 1)) for one in fingerprints)


def likenesses(source: Source, event: Event, folder: Path) -> list[Likeness] | None:
    """The profiles that an inbox's event looks like; None if its source is no inbox. folder: of the configuration."""
    if source.profile != INBOX:
        return None
    try:
        body = source.read_again(event)
    except (UnreadableError, UnsupportedTypeError):
        body = None
    return recognise(event.headers, body, all_fingerprints(folder))


def _body_of(sample: Mapping[str, Any]) -> Any:
    """The body of a profile's sample as an inbox reads it; without one, its query."""
    body = sample.get("body") or read_query(sample.get("query", ""))
    if not isinstance(body, str) or not is_xml(sample["type"]):
        return body
    return BodyReader(xml=True).read("POST", sample["type"], "", body.encode())


def _fields(body: Any) -> Mapping[str, Any]:
    """The fields of a body and one level below; of a list, those of its first entry; of SOAP, those in its envelope."""
    found: dict[str, Any] = {}
    content = _map_of(body)
    for name, value in _map_of(_map_of(content.get("Envelope")).get("Body", content)).items():
        # In a form, the second level is in brackets; a name may have none, or consist of brackets only.
        plain = name.partition("[")[0].strip()
        found |= {plain: value} if plain else {}
        found |= {f"{plain}.{inner}": deeper for inner, deeper in _map_of(value).items()}
    return found


def _map_of(value: Any) -> Mapping[str, Any]:
    first = value[0] if isinstance(value, list) and value else value
    return first if isinstance(first, Mapping) else {}


def _agent(text: str) -> str:
    return text.partition("/")[0].strip().lower()
