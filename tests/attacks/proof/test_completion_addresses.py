"""What strangers try with `/done/`: to guess an address, to end what is another's, to leave what is large."""

from __future__ import annotations

import threading

import pytest

from relay.core.errors import RecordUnavailableError
from relay.core.events import CallbackState
from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.store.record.record import Endings
from relay.store.redis import keys
from relay.web.done import LONGEST_QUERY, MOST_PAIRS, bounded
from tests.support.ends import path_of, post_watched, start
from tests.support.making import claim_one

GUESSES = [
    "x",
    "A" * 31,
    "A" * 32,
    "A" * 33,
    "%00" * 8,
    "é" * 32,
    "A" * 4000,
    "-" * 32,
    "dlv_1",
]


@pytest.fixture
def app(watching_app, valkey):
    return watching_app


@pytest.fixture
def delivery(app, record):
    return post_watched(app, record)


@pytest.fixture
def waiting(record, delivery):
    return start(record, delivery)


@pytest.mark.parametrize("guess", GUESSES)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_guess_learns_nothing_and_leaves_nothing(app, redis, waiting, guess, method):
    before = all_kept(redis)

    answer = app.test_client().open(f"/done/{guess}", method=method, data={"document_id[0]": "crm"})

    assert (answer.status_code, answer.json["detail"]) == (404, "not found")
    assert guess not in answer.text or guess == "x"
    assert all_kept(redis) == before


def all_kept(redis):
    """All but what ends within a second by itself."""
    return {key: redis.dump(key) for key in redis.keys("*") if key != keys.FULL.encode()}


def test_the_id_of_a_delivery_and_the_digest_of_its_token_open_nothing(app, record, waiting):
    for guess in (waiting.id, waiting.watched.digest, waiting.watched.digest[:32]):
        assert app.test_client().post(f"/done/{guess}").status_code == 404
    assert record.delivery(waiting.id).watched.state is CallbackState.WAITING


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"])
def test_what_only_looks_at_a_link_ends_nothing(app, record, waiting, method):
    answer = app.test_client().open(path_of(waiting), method=method)

    assert answer.status_code == 405
    assert record.delivery(waiting.id).watched.state is CallbackState.WAITING


def test_one_address_ends_one_delivery(app, record, waiting):
    other = post_watched(app, record, id=2)

    app.test_client().post(path_of(other), data={"document_id[2]": "LEAD_1", "id": waiting.id})

    assert record.delivery(waiting.id).watched.state is CallbackState.WAITING


def test_a_huge_query_and_a_huge_body_leave_little_and_the_end_is_not_lost_over_them(app, record, waiting):
    query = "&".join(f"name{number}={'x' * 70}" for number in range(100))

    answer = app.test_client().post(f"{path_of(waiting)}?{query}", data={"document_id[0]": "x" * 500_000})

    assert answer.status_code == 200
    found = record.delivery(waiting.id).watched
    assert (found.state, found.document_id) == (CallbackState.FINISHED, ())
    assert found.query.count("&") + 1 == MOST_PAIRS
    assert len(found.query) <= LONGEST_QUERY


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("", ""),
        ("s=ok", "s=ok"),
        ("&&s=ok", "&&s=ok"),
        (f"a=1&b={'x' * LONGEST_QUERY}&c=2", "a=1"),
        ("x" * LONGEST_QUERY, ""),
    ],
)
def test_of_a_query_only_whole_pairs_are_kept(query, kept):
    assert bounded(query) == kept


def test_called_again_and_at_the_same_time_it_ends_once_and_keeps_the_first_word(app, record, waiting):
    answers = []

    def call(number):
        answers.append(app.test_client().post(f"{path_of(waiting)}?n={number}").status_code)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first = record.delivery(waiting.id).watched
    call("later")

    assert answers == [200] * 9
    assert record.delivery(waiting.id).watched == first
    assert record.counts().imbalances == []


def test_no_word_of_the_token_is_in_the_log(app, record, delivery, capsys):
    record.settle(claim_one(record, delivery), State.UNCERTAIN, utc_now())
    token = path_of(delivery).removeprefix("/done/")
    client = app.test_client()
    client.post(f"{path_of(delivery)}?s=ok")
    client.get(f"/done/{token[:-1]}!")

    printed = capsys.readouterr()

    assert "delivery.finished" in printed.err + printed.out
    assert token[:-1] not in printed.err + printed.out


def test_no_word_of_it_is_in_the_log_either_where_the_record_is_away(app, waiting, capsys, monkeypatch):
    def fail(*_, **__):
        raise RecordUnavailableError("away")

    monkeypatch.setattr(Endings, "is_known", fail)
    answer = app.test_client().post(path_of(waiting))

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    printed = capsys.readouterr()
    assert "record.unavailable" in printed.err + printed.out
    assert path_of(waiting) not in printed.err + printed.out


def test_a_body_that_is_no_form_ends_it_all_the_same(app, record, waiting):
    answer = app.test_client().post(path_of(waiting), data=b"\xff{", content_type="multipart/form-data; boundary=x")

    assert answer.status_code == 200
    assert record.delivery(waiting.id).watched.state is CallbackState.FINISHED
