"""Makes a source, or a way of proof, of what a file says of it, when all of it was found right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from relay.configuration.expressions import Expression
from relay.sources.body_reader import MOST_OF_BATCH, BodyReader
from relay.sources.dedup import Dedup
from relay.sources.proof.clocks import Clock
from relay.sources.proof.digests import HashVerifier, HmacVerifier
from relay.sources.proof.places import Place
from relay.sources.proof.several import Several
from relay.sources.proof.tokens import BasicVerifier, TokenVerifier
from relay.sources.proof.verifier import NoVerifier, Verifier, Way
from relay.sources.source import MAX_BODY, OPEN_LIMIT, OPEN_MAX_BODY, Limit, Source
from relay.sources.templater import NAMED, Secrets
from relay.sources.visitors import Form

PUBLIC_KEY = ("ed25519", "ecdsa")


def build_source(name: str, contract: Mapping[str, Any], verifier: Verifier, secrets: Secrets) -> Source:
    """The source of this name. contract: what its entry and its profile say together."""
    is_open = not verifier.ways
    limit, form = contract["limit"], contract["form"]
    source = Source(
        name=name,
        verifier=verifier,
        dedup=_dedup(contract["dedup"]) if contract["dedup"] else None,
        max_body=contract["max_body"] or (OPEN_MAX_BODY if is_open else MAX_BODY),
        limit=Limit(**limit) if limit else (OPEN_LIMIT if is_open else None),
        success_status=contract["success_status"],
        methods=contract["methods"],
        on_invalid=contract["on_invalid"],
        bodies=BodyReader(contract["json_field"], contract["json_values"], contract["fallback_charset"]),
        probes=tuple(contract["probes"]),
        each=contract["each"],
        double_click_s=contract["double_click"],
        once=contract["once"],
        topic=contract["topic"].lower() if contract["topic"] else None,
        answer=contract["answer"],
        profile=contract["profile"],
        secrets=secrets,
        variables=_variables(contract),
        secret_names=_secret_names(contract),
        form=Form(**form) if form is not None else None,
        thanks=contract["thanks"],
        origins=contract["origins"],
        spools=contract["spool"],
    )
    return _with_room(source)


def _with_room(source: Source) -> Source:
    """A batch of a thousand entries has more values than one event; of whom has proven nothing it may not."""
    if source.each is None or source.reads_before_proof:
        return source
    return replace(source, bodies=replace(source.bodies, most_values=MOST_OF_BATCH))


def _secret_names(contract: Mapping[str, Any]) -> tuple[str, ...]:
    """The environment variables that hold what proves the sender; of the shared ones first."""
    own = [name for way in contract["verify"] for name in way.get("secrets") or ()]
    return tuple(dict.fromkeys([*(contract.get("secrets") or ()), *own]))


def _variables(contract: Mapping[str, Any]) -> dict[str, str]:
    """The names of the environment variables, as a profile's steps speak of them."""
    names = _secret_names(contract)
    found = {"secret": names[0]} if names else {}
    return found | {name: contract[name] for name in NAMED if contract.get(name)}


def build_verifier(ways: Sequence[Mapping[str, Any]], secrets: Sequence[Sequence[bytes]]) -> Verifier:
    """What proves a sender. secrets: of each way; a way that has none is left out, but for one that gets them later."""
    if ways[0]["kind"] == "none":
        return NoVerifier()
    return Several.of(build_way(way, own) for way, own in zip(ways, secrets, strict=True))


def build_way(way: Mapping[str, Any], secrets: Sequence[bytes]) -> Way:
    """One way of proof. secrets: as they were given, all of them right for it."""
    empty = _empty_way(way)
    for secret in secrets:
        empty = empty.with_secret(secret)
    return empty


def _empty_way(way: Mapping[str, Any]) -> Way:
    kind, unless = way["kind"], way["unless"]
    if kind == "basic":
        return BasicVerifier((), unless)
    if kind == "token":
        return TokenVerifier((), _place(way), _prefix_of_token(way), unless)
    common = _signature(way)
    if kind == "hmac":
        return HmacVerifier(**common, algorithm=way["algorithm"], key=way["key"])
    if kind == "hash":
        return HashVerifier(**common, algorithm=way["algorithm"])
    # Only who needs it waits for `cryptography`: it takes as long to load as everything else of a source.
    from relay.sources.proof.public_keys import PublicKeyVerifier  # noqa: PLC0415

    return PublicKeyVerifier(**common, kind=kind)


def _signature(way: Mapping[str, Any]) -> dict[str, Any]:
    clock, parts = way["timestamp"], way["parts"]
    return {
        "place": _place(way),
        "encoding": way["encoding"],
        "prefix": way["prefix"] or "",
        "signed": way["signed"],
        "separator": way["separator"] or ("," if parts else None),
        "parts": (parts["signature"], parts["timestamp"]) if parts else None,
        "clock": Clock(_place_or_none(clock), clock["unit"], clock["tolerance"]) if clock else None,
        "id_header": way["id_header"],
        "body_digest": way["body_digest"],
        "unless": way["unless"],
    }


def _place(written: Mapping[str, Any]) -> Place:
    field: Expression | None = written["field"]
    return Place(written["header"].lower() if written["header"] else None, written["query"], field)


def _place_or_none(written: Mapping[str, Any]) -> Place | None:
    place = _place(written)
    return place if place != Place() else None


def _prefix_of_token(way: Mapping[str, Any]) -> str:
    if way["prefix"] is None:
        return "Bearer " if (way["header"] or "").lower() == "authorization" else ""
    return str(way["prefix"])


def _dedup(dedup: Mapping[str, Any]) -> Dedup:
    header = dedup["header"].lower() if dedup["header"] else None
    return Dedup(dedup["window_s"], dedup["expression"], header, dedup["whole_body"])
