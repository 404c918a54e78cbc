"""A small packed body that is a very large one: it costs what its source's largest body costs, and no more."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest

from relay.core.errors import TooLargeError, UnreadableError
from relay.sources import bodies
from tests.support.senders import JSON

CAP = 1_000_000


def bomb(size: int, wbits: int) -> bytes:
    """So many zeros, packed."""
    packer = zlib.compressobj(9, wbits=wbits)
    return b"".join(packer.compress(b"\0" * CAP) for _ in range(size // CAP)) + packer.flush()


@pytest.fixture(scope="module", params=[("gzip", 31), ("deflate", 15), ("deflate", -15)], ids=str)
def packed(request) -> tuple[str, bytes]:
    """100 MB in 100 KB."""
    encoding, wbits = request.param
    return encoding, bomb(100_000_000, wbits)


def test_a_bomb_takes_no_more_memory_than_a_body_may_have(packed):
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError):
            bodies.unpack(*packed, CAP)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * CAP


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(b"") * 40_000,
        gzip.compress(b"") * 10 + b"\x1f\x8b" * 400_000,
        bomb(CAP, 31)[:20] + bytes(CAP),
    ],
    ids=["members of nothing", "heads alone", "an end that never comes"],
)
def test_a_stream_of_nothing_is_given_up_early(packed, monkeypatch):
    begun = []
    real = zlib.decompressobj
    monkeypatch.setattr(bodies.zlib, "decompressobj", lambda around: begun.append(around) or real(around))

    with pytest.raises(UnreadableError):
        bodies.unpack("gzip", packed, CAP)

    assert len(begun) <= bodies.MOST_MEMBERS


@pytest.mark.parametrize(
    ("sent", "largest", "most"), [(100, 100_000, 100_000), (100, 32_000_000, CAP), (900_000, 32_000_000, 27 * CAP)]
)
def test_before_the_proof_a_body_is_unpacked_to_a_multiple_of_what_was_sent(sent, largest, most):
    assert bodies.most_before_proof(sent, largest) == most


@pytest.mark.parametrize("token", [None, "wrong"])
def test_a_wrong_token_makes_nothing_be_unpacked(app, packed, monkeypatch, token):
    monkeypatch.setattr("relay.sources.source.unpack", pytest.fail)
    headers = {"Content-Type": JSON, "Content-Encoding": packed[0]} | ({"X-Relay-Token": token} if token else {})

    assert app.test_client().post("/hooks/website", data=packed[1], headers=headers).status_code == 401


def test_a_stranger_learns_nothing_of_how_he_has_packed_it(app, packed):
    encoding, body = packed
    told = set()
    for sent in (body, body[:-9], b"\x1f\x8b", gzip.compress(b"{}")):
        for name in (encoding, "br", "gzip, gzip"):
            headers = {"Content-Type": JSON, "Content-Encoding": name, "X-Hub-Signature-256": "sha256=" + "ab" * 32}
            answer = app.test_client().post("/hooks/github", data=sent, headers=headers)
            told.add((answer.status_code, answer.text))
    assert len(told) == 1
    assert told.pop()[0] == 401
