"""Bodies packed with gzip or deflate: what they hold is read and kept; their proof may be of either."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import zlib
from functools import partial

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import NotVerifiedError, TooLargeError, UnreadableError, UnsupportedTypeError
from relay.core.ids import utc_now
from relay.core.lifecycle import EventState
from relay.sources import Source, Webhook, load_sources
from relay.sources.bodies import FORM, MOST_MEMBERS, is_packed, unpack
from relay.sources.proof.signatures import HmacVerifier
from relay.sources.proof.verifier import Location
from relay.store.record.search import Filter, list_events
from tests.support.folders import SECRETS
from tests.support.senders import JSON, SEED, dump, website

BODY = dump(SEED)


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


# Without the time that is in its head: the name of a test is always the same.
gzipped = partial(gzip.compress, mtime=0)
WAYS = [("gzip", gzipped), ("x-gzip", gzipped), ("deflate", zlib.compress), ("deflate", raw_deflate)]
NAMES = ["gzip", "x-gzip", "deflate", "bare deflate"]


@pytest.mark.parametrize(("encoding", "pack"), WAYS, ids=NAMES)
@given(body=st.binary(min_size=1, max_size=300) | st.just(b"\0" * 10_000))
def test_what_was_packed_comes_back(encoding: str, pack, body: bytes) -> None:
    assert unpack(encoding, pack(body), 10_000) == body
    assert unpack(f" {encoding.upper()} ", pack(body), 10_000) == body


@pytest.mark.parametrize("encoding", ["", "identity", "Identity", "utf-8", "UTF-8", "windows-1251"])
def test_nothing_is_packed_where_no_packing_is_named(encoding: str) -> None:
    assert not is_packed(encoding)
    assert unpack(encoding, gzipped(BODY), 10) == gzipped(BODY)


def test_what_something_on_the_way_has_unpacked_is_as_it_is() -> None:
    assert unpack("gzip", BODY, 1_000) == BODY


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "gzip,br", "deflate, identity", "secret"])
def test_another_encoding_is_refused_with_those_that_are_read(encoding: str) -> None:
    with pytest.raises(UnsupportedTypeError, match="expected gzip, deflate or none") as caught:
        unpack(encoding, gzipped(BODY), 1_000)
    assert "secret" not in str(caught.value)


def bent(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 0xFF]) + body[middle + 1 :]


BREAKS = [lambda body: body[:-1], lambda body: body[: len(body) // 2], bent, lambda body: body + b"\0"]


@pytest.mark.parametrize(("encoding", "pack"), WAYS, ids=NAMES)
@pytest.mark.parametrize("spoil", BREAKS, ids=["one byte short", "half", "one byte changed", "more after its end"])
def test_a_broken_stream_is_unreadable(encoding: str, pack, spoil) -> None:
    with pytest.raises(UnreadableError, match="packed body"):
        unpack(encoding, spoil(pack(bytes(range(256)) * 9)), 10_000)


@pytest.mark.parametrize(("encoding", "pack"), WAYS, ids=NAMES)
def test_the_size_is_of_what_was_packed(encoding: str, pack) -> None:
    assert len(unpack(encoding, pack(b"a" * 5_000), 5_000)) == 5_000
    with pytest.raises(TooLargeError, match="at most 4999 bytes"):
        unpack(encoding, pack(b"a" * 5_000), 4_999)


def test_a_stream_of_some_members_is_read_and_one_of_very_many_is_not() -> None:
    assert unpack("gzip", gzipped(b"ab") * MOST_MEMBERS, 1_000) == b"ab" * MOST_MEMBERS
    with pytest.raises(UnreadableError):
        unpack("gzip", gzipped(b"ab") * (MOST_MEMBERS + 1), 1_000)
    with pytest.raises(TooLargeError):
        unpack("gzip", gzipped(b"a" * 600) * 2, 1_000)


@given(encoding=st.sampled_from(["gzip", "deflate", "x-gzip", "br"]) | st.text(max_size=9), body=st.binary(max_size=99))
def test_any_bytes_are_unpacked_or_refused(encoding: str, body: bytes) -> None:
    for text in (body, b"\x1f\x8b\x08\0" + body, b"\x78\x9c" + body):
        try:
            assert len(unpack(encoding, text, 1_000)) <= max(1_000, len(text))
        except (UnreadableError, UnsupportedTypeError):
            continue


# Through the door.


@pytest.fixture
def client(app):
    return app.test_client()


def the_one_event(record):
    (row,) = list_events(record, Filter()).rows
    return row.event


@pytest.mark.parametrize(("encoding", "pack"), WAYS, ids=NAMES)
def test_a_packed_event_makes_its_call_and_is_kept_unpacked(client, record, encoding, pack) -> None:
    answer = client.post("/hooks/website", data=pack(BODY), headers={**website(), "Content-Encoding": encoding})

    assert (answer.status_code, answer.get_json()["state"]) == (200, "accepted")
    event = the_one_event(record)
    assert event.body == BODY
    assert not {"content-encoding", "content-length"} & event.headers.keys()


def signed(proof_of: bytes) -> dict[str, str]:
    digest = hmac.new(SECRETS["SOURCE_GITHUB_SECRET"].encode(), proof_of, hashlib.sha256).hexdigest()
    return {"Content-Type": JSON, "Content-Encoding": "gzip", "X-GitHub-Event": "ping",
            "X-Hub-Signature-256": f"sha256={digest}"}  # fmt: skip


@pytest.mark.parametrize("is_of_what_was_sent", [True, False], ids=["as it was sent", "as it was before"])
def test_the_proof_may_be_of_the_body_as_it_was_sent_or_as_it_was_before_it_was_packed(
    client, record, is_of_what_was_sent
) -> None:
    packed = gzipped(BODY)
    answer = client.post("/hooks/github", data=packed, headers=signed(packed if is_of_what_was_sent else BODY))

    assert answer.status_code == 200
    assert the_one_event(record).body == BODY


@pytest.mark.parametrize("sent", [gzipped(BODY + b" "), BODY, b"\x1f\x8b", gzipped(BODY)[:-1]])
def test_a_proof_of_something_else_is_none_whatever_is_packed(client, record, sent) -> None:
    answer = client.post("/hooks/github", data=sent, headers=signed(gzipped(b"another")))

    assert answer.status_code == 401
    event = the_one_event(record)
    assert (event.state, event.reason, event.body) == (EventState.REFUSED, "signature_mismatch", b"")


@pytest.mark.parametrize(
    ("encoding", "body", "told"),
    [
        ("br", b"\x0b\x02\x80{}\x03", (415, "expected gzip, deflate or none")),
        ("gzip, gzip", gzipped(gzipped(BODY)), (415, "once")),
        ("gzip", gzipped(BODY)[:-1], (400, "ends early")),
        ("deflate", b"{}", (400, "packed body")),
        ("gzip", gzipped(b" " * 1_000_001), (413, "at most 1000000 bytes, unpacked")),
    ],
)
def test_what_cannot_be_unpacked_is_refused_and_kept_as_it_came(client, record, encoding, body, told) -> None:
    answer = client.post("/hooks/website", data=body, headers={**website(), "Content-Encoding": encoding})

    assert answer.status_code == told[0]
    assert told[1] in answer.get_json()["detail"]
    event = the_one_event(record)
    assert (event.state, event.body, event.headers["content-encoding"]) == (EventState.REJECTED, body, encoding)
    assert told[1] in event.reason


def test_a_large_body_that_was_packed_well_is_read_once_its_sender_is_proven() -> None:
    source = Source("one", HmacVerifier(Location("x-sign"), secrets=(b"secret",)), max_body=32_000_000)
    body = b'{"a": "' + b"x" * 5_000_000 + b'"}'
    packed = gzipped(body)
    for proof_of, is_proven in ((packed, True), (body, False)):
        headers = {"Content-Type": JSON, "Content-Encoding": "gzip"}
        headers["X-Sign"] = hmac.new(b"secret", proof_of, hashlib.sha256).hexdigest()
        webhook = Webhook(headers=headers, body=packed)
        if is_proven:
            assert source.verify(webhook, utc_now()).webhook.body == body
        else:
            # More than anybody who is not proven is worth: its proof is not found.
            with pytest.raises(NotVerifiedError):
                source.verify(webhook, utc_now())


WAYS_OF_PROOF = {
    "a token in a field": ({"kind": "token", "field": "secret"}, JSON, b'{"secret": "the-secret", "a": 1}', {}),
    "the sorted fields": (
        {"kind": "hmac", "header": "X-Sign", "signed": "{fields}"}, FORM, b"b=2&a=1",
        {"X-Sign": hmac.new(b"the-secret", b"a1b2", hashlib.sha256).hexdigest()},
    ),
    "a value of the body": (
        {"kind": "hmac", "header": "X-Sign", "signed": "{field:a}{body}"}, JSON, b'{"a": 1}',
        {"X-Sign": hmac.new(b"the-secret", b'1{"a": 1}', hashlib.sha256).hexdigest()},
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS_OF_PROOF.values(), ids=WAYS_OF_PROOF)
def test_a_proof_that_looks_into_the_body_looks_into_what_was_packed(tmp_path, way) -> None:
    verify, content_type, body, headers = way
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump({"sources": {"one": {"verify": {**verify, "secrets": ["A_SECRET"]}}}}), "utf-8")
    source = load_sources(path, {"A_SECRET": "the-secret"})["one"]
    headers = {**headers, "Content-Type": content_type, "Content-Encoding": "gzip"}

    verified = source.verify(Webhook(headers=headers, body=gzipped(body)), utc_now())

    assert verified.webhook.body == body
    assert verified.body == body.replace(b"the-secret", b"***")
    assert source.parse(verified) == source.read("POST", content_type, "", verified.body)
    with pytest.raises(NotVerifiedError):
        source.verify(Webhook(headers=headers, body=gzipped(body.replace(b"1", b"7").upper())), utc_now())


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
def test_an_empty_body_is_not_packed(client, encoding) -> None:
    answer = client.post("/hooks/website", data=b"", headers={**website(), "Content-Encoding": encoding})
    assert (answer.status_code, answer.get_json()["detail"]) == (400, "no body")
    query = "/hooks/in-query?token=website-token-of-the-test&id=7"
    assert client.get(query, headers={"Content-Encoding": encoding}).get_json()["state"] == "accepted"


def test_a_repeat_is_known_by_what_it_holds_however_it_is_packed(client) -> None:
    body = b'{"id": 5}'
    answers = [
        client.post("/hooks/lenient", data=sent, headers={"Content-Type": JSON, **more}).get_json()["duplicate"]
        for sent, more in (
            (body, {}),
            (gzipped(body, mtime=1), {"Content-Encoding": "gzip"}),
            (gzipped(body, mtime=2), {"Content-Encoding": "gzip"}),
            (zlib.compress(body), {"Content-Encoding": "deflate"}),
        )
    ]
    assert answers == [False, True, True, True]
