"""What somebody without proof can make us do: a bounded amount, whatever is sent."""

from __future__ import annotations

import hmac
import json
import threading
from datetime import UTC, datetime

import pytest

from relay.core.errors import LimitedError, UnreadableError
from relay.operations import deciding
from relay.sources import Source, Webhook, bodies, near_misses
from relay.sources.bodies import FORM, MAX_VALUES, MULTIPART, nest, parse_body
from relay.sources.proof.signatures import HmacVerifier
from relay.sources.proof.verifier import Location
from tests.support.waiting import until

NOW = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
KEYS = tuple(b"secret-%d" % number for number in range(5))


@pytest.fixture
def work(monkeypatch):
    """How many bytes were signed, and how often JSON was read."""
    done = {"signed": 0, "digests": 0, "read": 0}
    digest, loads = hmac.digest, json.loads

    def count_digest(key, signed, algorithm):
        done["signed"] += len(signed)
        done["digests"] += 1
        return digest(key, signed, algorithm)

    def count_loads(text):
        done["read"] += 1
        return loads(text)

    monkeypatch.setattr(near_misses.hmac, "digest", count_digest)
    monkeypatch.setattr(near_misses.json, "loads", count_loads)
    return done


@pytest.mark.parametrize("size", [100, near_misses.LARGEST_BODY, 64_000, 1_000_000])
def test_more_headers_with_a_wrong_signature_do_not_cost_more_digests(work, size):
    source = Source("one", HmacVerifier(Location("x-sign"), secrets=KEYS))
    body = json.dumps(["word"] * (size // 8)).encode()[:size]
    wrong = [hmac.digest(b"wrong", bytes([number]), "sha256").hex() for number in range(100)]
    one = {"X-Sign": wrong[0]}
    many = dict.fromkeys(near_misses.SIGNATURE_HEADERS, ", ".join(f"v1={text}" for text in wrong))

    costs = []
    for headers in (one, many):
        work.update(signed=0, digests=0, read=0)
        assert source.near_miss(Webhook(headers=headers, body=body), "signature_mismatch", NOW) is None
        costs.append(dict(work))

    assert costs[1] == costs[0]
    assert costs[1]["read"] <= 1
    assert costs[1]["digests"] < 50
    assert costs[1]["signed"] <= max(50 * (near_misses.LARGEST_BODY + 2), 3 * size)


def test_a_header_full_of_candidates_costs_no_more_than_a_few(monkeypatch):
    read = []
    real = near_misses._decoded
    monkeypatch.setattr(near_misses, "_decoded", lambda encoding, text: read.append(text) or real(encoding, text))
    headers = dict.fromkeys(near_misses.SIGNATURE_HEADERS, " ".join(["v1=sha256=" + "ab" * 32] * 400))

    Source("one", HmacVerifier(Location("x-sign"), secrets=KEYS)).near_miss(
        Webhook(headers=headers), "signature_mismatch", NOW
    )

    assert len(read) <= len(near_misses.SIGNATURE_HEADERS) * near_misses.MOST_PIECES * 3


def levels(value):
    """All levels and values of a tree."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(levels(one) for one in inner)


@pytest.mark.parametrize(
    "name",
    [
        lambda number: f"a{number}" + "[]" * 40,
        lambda number: f"a{number}" + "[b]" * 63,
        lambda number: "a" + "[b]" * 62 + f"[{number}]",
        lambda number: f"a[{number}][b][c][d]",
    ],
)
def test_levels_of_a_form_count_as_values(name):
    form = "&".join(f"{name(number)}=1" for number in range(9_999)).encode()
    parts = "".join(
        f'--x\r\nContent-Disposition: form-data; name="{name(number)}"\r\n\r\n1\r\n' for number in range(9_990)
    )

    with pytest.raises(UnreadableError, match="values"):
        parse_body(FORM, form)
    with pytest.raises(UnreadableError, match="values"):
        parse_body(f"{MULTIPART}; boundary=x", f"{parts}--x--".encode())


def test_a_megabyte_of_brackets_is_refused_for_the_price_of_counting_them(monkeypatch):
    monkeypatch.setattr(bodies, "unquote_to_bytes", pytest.fail)

    for bracket in (b"[", b"%5B", b"%5b"):
        with pytest.raises(UnreadableError, match="values"):
            parse_body(FORM, b"a" + bracket * 300_000 + b"=1")


def test_brackets_in_values_are_no_levels():
    assert parse_body(FORM, b"a=" + b"[" * 300_000) == {"a": "[" * 300_000}


def test_no_more_fields_are_looked_at_than_are_read():
    looked = 0

    def fields():
        nonlocal looked
        while True:
            looked += 1
            yield f"a{looked}" + "[]" * 40, "1"

    with pytest.raises(UnreadableError):
        nest(fields())
    assert looked <= MAX_VALUES // 40 + 1


def test_what_is_read_of_a_form_has_a_bounded_size():
    form = "&".join(f"a[{number}][b][c]=1" for number in range(MAX_VALUES // 4)).encode()

    assert levels(parse_body(FORM, form)) <= 2 * MAX_VALUES


def test_large_bodies_that_nobody_has_proven_are_read_one_after_the_other_with_rests(monkeypatch):
    rests = []
    monkeypatch.setattr(deciding.time, "sleep", rests.append)
    turns, order = deciding.Turns(), []

    def read(name):
        with turns.taken(deciding.SMALL + 1):
            order.append(name)
            threading.Event().wait(0.01)
            order.append(name)

    threads = [threading.Thread(target=read, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert order[::2] == order[1::2]
    assert len(rests) == 4
    assert all(0.01 <= rest <= deciding.LONGEST_REST_S for rest in rests)


def test_a_small_body_waits_for_no_large_one():
    turns = deciding.Turns()

    with turns.taken(deciding.SMALL), turns.taken(deciding.SMALL), turns.taken(0):
        pass


def test_no_more_wait_for_their_turn_than_the_door_has_room_for(monkeypatch):
    monkeypatch.setattr(deciding, "MOST_WAITING", 2)
    turns, inside, leave = deciding.Turns(), threading.Event(), threading.Event()

    def read():
        with turns.taken(deciding.SMALL + 1):
            inside.set()
            leave.wait(10)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert inside.wait(10)
    until(lambda: turns._waiting == 2, "two to wait")
    with pytest.raises(LimitedError), turns.taken(deciding.SMALL + 1):
        pass
    with turns.taken(deciding.SMALL):
        pass
    leave.set()
    for thread in threads:
        thread.join()
    with turns.taken(deciding.SMALL + 1):
        pass


def test_no_more_are_answered_late_than_the_door_has_room_for(monkeypatch):
    pauses, rests = deciding.Pauses(), []
    pauses.begin("one", 60, refused=False)
    monkeypatch.setattr(deciding, "MOST_WAITING", 3)

    def sleep(seconds):
        rests.append(seconds)
        pauses.sit_out("one", refused=False)

    monkeypatch.setattr(deciding.time, "sleep", sleep)

    assert 0 < pauses.sit_out("one", refused=False) <= 60
    assert rests == [deciding.LATE_S] * 3
    assert pauses.sit_out("one", refused=True) == pauses.sit_out("two", refused=False) == 0
