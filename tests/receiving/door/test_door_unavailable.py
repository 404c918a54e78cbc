"""While the record cannot be written the sender is told to come back, at once, and nothing is half kept."""

from __future__ import annotations

import time

import pytest

from relay.store.redis import connection
from tests.support.senders import SEED, dump, website


def is_told_to_come_back(answer):
    return (
        answer.status_code == 503
        and answer.content_type == "application/problem+json"
        and answer.headers["Retry-After"].isdigit()
        and answer.get_json()["detail"] == "the record is not available, nothing was kept"
    )


@pytest.mark.parametrize("trouble", ["make_read_only", "make_full"])
def test_a_record_that_takes_no_writes_is_a_503_and_the_next_try_is_no_repeat(app, valkey, record, trouble):
    client, body = app.test_client(), dump({**SEED, "submission_id": "s"})
    getattr(valkey, trouble)()

    assert is_told_to_come_back(client.post("/hooks/website", data=body, headers=website()))
    assert client.get("/readyz").status_code == 503

    valkey.make_fresh()
    assert client.post("/hooks/website", data=body, headers=website()).get_json()["duplicate"] is False
    assert client.get("/readyz").status_code == 200


def test_a_record_that_is_away_is_a_503_at_once_and_it_comes_back_by_itself(make_app, own_valkey):
    client = make_app(own_valkey).test_client()
    assert client.post("/hooks/website", data=dump(SEED), headers=website()).status_code == 200
    own_valkey.kill()
    before = time.monotonic()

    assert is_told_to_come_back(client.post("/hooks/website", data=dump(SEED), headers=website()))
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200
    assert time.monotonic() - before < 8  # and not as long as one that hangs is waited for

    own_valkey.start()
    assert client.post("/hooks/website", data=dump(SEED), headers=website()).status_code == 200


def test_a_record_that_hangs_is_a_503_after_two_tries(make_app, own_valkey, monkeypatch):
    monkeypatch.setattr(connection, "ANSWER_TIMEOUT_S", 0.3)
    client = make_app(own_valkey).test_client()
    own_valkey.pause()
    before = time.monotonic()

    answer = client.post("/hooks/website", data=dump(SEED), headers=website())
    took_s = time.monotonic() - before
    own_valkey.resume()

    assert is_told_to_come_back(answer)
    assert took_s < 10  # and not as long as Redis hangs


def test_nothing_is_promised_on_a_record_that_could_forget(make_app, own_valkey):
    own_valkey.redis.config_set("maxmemory-policy", "allkeys-lru")
    client = make_app(own_valkey).test_client()

    assert is_told_to_come_back(client.post("/hooks/website", data=dump(SEED), headers=website()))
    assert client.get("/readyz").status_code == 503


def test_the_application_starts_without_a_record_and_takes_nothing(make_app, own_valkey):
    own_valkey.kill()
    client = make_app(own_valkey).test_client()

    assert is_told_to_come_back(client.post("/hooks/website", data=dump(SEED), headers=website()))
    assert client.get("/healthz").status_code == 200
