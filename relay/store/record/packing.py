"""What is final, made small: one field `z` holds what no script reads, beside the fields that scripts do read. Pure.

`z` is a byte that names a dictionary, and raw deflate of names and values, each as `length:text,`. Attempts, which are
a list of their own while a delivery lives, are in it too. Fields that stand beside `z` were written later: they count.
A dictionary that a released version has written with is never changed: a better one is the next.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files

Hash = Mapping[bytes, bytes]

PACKED = b"z"
TRIED = b"tried"
"""In `z`: the attempts of a delivery, as a JSON list."""

PLAIN_EVENT = frozenset(
    {b"state", b"source", b"deliveries", b"marks", b"duplicates", b"reason", b"errors", b"fault", b"replayed_by"}
    | {b"body_removed_at", b"beside"}
)
"""What scripts read or write of an event that is final: record, prune, replay, walk, groups, bodies."""

PLAIN_DELIVERY = frozenset(
    {b"state", b"event_id", b"rule", b"portal", b"template_id", b"document", b"reason", b"workflow_id"}
    | {b"address_digest", b"watch_state", b"finished_at", b"replayed_by"}
)
"""The same of a delivery: prune, replay, done, overdue, leave, walk. Not `updated_at`: who has none is packed."""

LEVEL, RAW = 9, -15

FOLDER = files("relay.store.record").joinpath("dictionaries")
CURRENT = 1
"""What is often in events and deliveries, in files by number; what is in most of them stands last."""


def unpacked(kept: Hash) -> Hash:
    """The fields of a hash, packed or not; attempts that were packed are in `tried`."""
    if PACKED not in kept:
        return kept
    return _read(kept[PACKED]) | {name: value for name, value in kept.items() if name != PACKED}


def packed(kept: Hash, attempts: Sequence[bytes], plain: Collection[bytes]) -> dict[bytes, bytes]:
    """The hash that takes the place of this one. plain: the fields that stay beside `z`; what they leave empty goes."""
    fields = dict(unpacked(kept))
    if attempts:
        fields[TRIED] = b"[" + b",".join([*_entries(fields.get(TRIED)), *attempts]) + b"]"
    beside = {name: value for name, value in fields.items() if name in plain}
    return beside | {PACKED: _write((name, value) for name, value in fields.items() if name not in plain)}


def attempts_in(fields: Hash) -> list[bytes]:
    """The attempts that were packed with a delivery, oldest first, each as JSON."""
    return _entries(fields.get(TRIED))


def digest_of(kept: Hash) -> str:
    """By which a script knows that a hash is as it was read (lua/pack.lua)."""
    flat = [part for pair in kept.items() for part in pair]
    return hashlib.sha1(b"\0".join(flat), usedforsecurity=False).hexdigest()


def _entries(tried: bytes | None) -> list[bytes]:
    return [json.dumps(one, ensure_ascii=False, separators=(",", ":")).encode() for one in json.loads(tried or b"[]")]


def _write(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    text = b"".join(b"%d:%b," % (len(part), part) for field in fields for part in field)
    deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, RAW, zdict=_dictionary(CURRENT))
    return bytes([CURRENT]) + deflate.compress(text) + deflate.flush()


def _read(value: bytes) -> dict[bytes, bytes]:
    inflate = zlib.decompressobj(RAW, zdict=_dictionary(value[0]))
    text = inflate.decompress(value[1:]) + inflate.flush()
    parts, at = [], 0
    while at < len(text):
        colon = text.index(b":", at)
        end = colon + 1 + int(text[at:colon])
        parts.append(text[colon + 1 : end])
        at = end + 1
    return dict(zip(parts[::2], parts[1::2], strict=True))


@cache
def _dictionary(number: int) -> bytes:
    return FOLDER.joinpath(f"{number}.txt").read_bytes().replace(b"\n", b"")
