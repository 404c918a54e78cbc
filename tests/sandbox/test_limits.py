"""The two limits of the cloud: requests a second, and operating time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.sandbox.limits import OperatingLimiter, RequestBuckets


def statuses(client, count, method="profile"):
    return [client.call(method).status_code for _ in range(count)]


def test_fifty_requests_fit_into_the_bucket_and_the_next_is_refused(client):
    assert statuses(client, 50) == [200] * 50

    refused = client.call("profile")

    assert refused.status_code == 503
    assert refused.json() == {"error": "QUERY_LIMIT_EXCEEDED", "error_description": "Too many requests"}
    assert "Retry-After" not in refused.headers


def test_two_requests_a_second_drain_away(client, clock):
    statuses(client, 50)
    clock.advance(1)

    assert statuses(client, 3) == [200, 200, 503]


def test_a_refused_request_is_not_executed_and_uses_up_no_fault(client, portal):
    client.order("settings", {"burst": 0})
    client.order("faults", {"kind": "html_502"})

    assert client.start().status_code == 503
    assert client.started() == []
    assert len(portal.faults.to_json()) == 1


def test_a_batch_is_one_request(client):
    client.order("settings", {"burst": 1})

    response = client.call("batch", {"cmd": {f"e{number}": "profile" for number in range(50)}})

    assert len(response.json()["result"]["result"]) == 50


def test_the_rate_limit_can_be_taken_away_as_on_a_self_hosted_portal(client):
    client.order("settings", {"rate": None, "burst": 1})

    assert statuses(client, 5) == [200] * 5


@given(st.lists(st.floats(0, 60), max_size=60), st.floats(0.1, 5), st.integers(1, 20))
def test_over_any_time_no_more_get_through_than_the_bucket_and_the_drain_allow(pauses, rate, burst):
    buckets, now, let_through = RequestBuckets(), 0.0, 0
    for pause in pauses:
        now += pause
        let_through += buckets.take("client", now, rate, burst)
    assert let_through <= burst + rate * now + 1e-6


def test_each_client_has_a_bucket_of_its_own():
    buckets = RequestBuckets()

    assert buckets.take("10.0.0.1", 0.0, 2.0, 1)
    assert not buckets.take("10.0.0.1", 0.0, 2.0, 1)
    assert buckets.take("10.0.0.2", 0.0, 2.0, 1)


@pytest.fixture
def expensive(client):
    """Each call costs six seconds; more than ten seconds in ten minutes are too many."""
    client.order("settings", {"operating_limit_s": 10, "call_cost_s": 6, "rate": None})
    return client


def blocked(response):
    return response.status_code == 429 and response.json() == {
        "error": "OPERATION_TIME_LIMIT",
        "error_description": "Method is blocked due to operation time limit.",
    }


def test_operating_time_is_counted_and_told(expensive, clock):
    first = expensive.call("profile").json()["time"]
    clock.advance(30)
    second = expensive.call("profile").json()["time"]

    assert (first["operating"], second["operating"]) == (6.0, 12.0)
    # each call also waits its six seconds, and the oldest bucket began with the first
    assert first["operating_reset_at"] == second["operating_reset_at"] == 1_800_000_600


def test_in_generation_a_a_method_is_blocked_until_old_minutes_leave_the_window(expensive, clock):
    expensive.call("profile")
    clock.advance(120)
    expensive.call("profile")

    assert blocked(expensive.call("profile"))
    clock.advance(460)  # just before the first minute is ten minutes old
    assert blocked(expensive.call("profile"))
    clock.advance(20)
    assert expensive.call("profile").status_code == 200


def test_in_generation_b_a_method_is_banned_for_five_minutes(expensive, clock):
    expensive.order("settings", {"profile": "b"})
    statuses(expensive, 2)

    assert blocked(expensive.call("profile"))
    clock.advance(299)
    assert blocked(expensive.call("profile"))
    clock.advance(1)
    assert expensive.call("profile").status_code == 200


def test_during_a_ban_the_reading_tells_its_end():
    limiter, key = OperatingLimiter(), ("webhook:1", "profile")
    limiter.charge(key, 1000.0, 20.0, 600.0)

    assert limiter.reading(key, 1010.0, 600.0) == (20.0, 1600)
    assert limiter.is_blocked(key, 1010.0, 10.0, 600.0, "b")
    assert limiter.reading(key, 1020.0, 600.0) == (0, 1310)


def test_another_method_and_another_credential_are_not_blocked(expensive):
    statuses(expensive, 2)

    assert blocked(expensive.call("profile"))
    assert expensive.call("scope").status_code == 200
    assert expensive.call("profile", user=2).status_code == 200


def test_calls_of_a_tenth_of_a_second_are_not_counted(client):
    client.order("settings", {"call_cost_s": 0.1})

    assert client.call("profile").json()["time"]["operating"] == 0.0


def test_the_commands_of_a_batch_are_counted_apart_from_direct_calls(expensive):
    batch = {"cmd": {"a": "profile", "b": "profile", "c": "profile"}}

    sections = expensive.call("batch", batch).json()["result"]

    assert sections["result_time"]["b"]["operating"] == 12.0
    assert sections["result_error"]["c"]["error"] == "OPERATION_TIME_LIMIT"
    assert expensive.call("profile").status_code == 200  # a webhook's direct calls have another bucket


@pytest.mark.parametrize(("profile", "operating"), [("a", 0.0), ("b", 3.0)])
def test_the_outer_batch_is_free_in_generation_a_and_half_price_in_b(expensive, profile, operating):
    expensive.order("settings", {"profile": profile})

    assert expensive.call("batch", {"cmd": {"a": "profile"}}).json()["time"]["operating"] == operating


def test_in_generation_b_the_outer_batch_can_be_blocked(expensive):
    expensive.order("settings", {"profile": "b"})
    batch = {"cmd": {"a": "profile", "b": "scope", "c": "methods", "d": "server.time"}}

    assert expensive.call("batch", batch).status_code == 200
    assert blocked(expensive.call("batch", batch))


def test_the_time_block_has_numbers_of_the_documented_kinds(client):
    block = client.call("profile").json()["time"]

    for name in ("start", "finish", "duration", "processing", "operating"):
        assert type(block[name]) is float
    assert type(block["operating_reset_at"]) is int
    assert block["date_start"] == block["date_finish"] == "2027-01-15T11:00:00+03:00"


def test_without_an_operating_limiter_the_time_block_says_nothing_of_it(client):
    client.order("settings", {"operating_limit_s": None, "call_cost_s": 5})

    assert not {"operating", "operating_reset_at"} & set(client.call("profile").json()["time"])


def test_latency_is_added_to_every_answer(client, clock):
    client.order("settings", {"latency_ms": 250})
    before = clock.now

    client.call("profile")

    assert clock.now - before == pytest.approx(0.25)


# What an add costs.


def test_an_add_and_an_import_are_billed_without_anybody_waiting(client, clock):
    before = clock.now

    answers = [client.add({}, method=method).json() for method in ("crm.item.add", "crm.item.import")]

    assert [answer["time"]["operating"] for answer in answers] == [1.8, 1.8]
    assert [answer["time"]["processing"] for answer in answers] == [1.8, 1.8]
    assert clock.now == before


def test_266_adds_fit_into_ten_minutes(client, portal):
    client.order("settings", {"rate": None})
    batch = {"cmd": {f"a{number}": "crm.item.add?entityTypeId=1&fields[title]=x" for number in range(50)}}

    sections = [client.call("batch", batch).json()["result"] for _ in range(6)]

    errors = [error["error"] for section in sections[5:] for error in section["result_error"].values()]
    assert len(client.made()) == 267  # the one that goes over is still executed
    assert set(errors) == {"OPERATION_TIME_LIMIT"}
    assert client.call("crm.item.list", {"entityTypeId": 1}).json()["total"] == 267  # another method


def test_the_window_and_the_cost_can_be_made_small(client, clock):
    client.order("settings", {"rate": None, "operating_window_s": 5, "operating_limit_s": 1, "operating_add_s": 0.6})
    adds = [client.add({}).status_code for _ in range(3)]
    reset_at = client.call("crm.item.list", {"entityTypeId": 1}).json()["time"]["operating_reset_at"]
    clock.advance(4.9)
    late = client.add({}).status_code
    clock.advance(0.1)

    assert adds == [200, 200, 429]
    assert late == 429
    assert client.add({}).status_code == 200
    assert reset_at == clock.now


def test_in_generation_b_the_outer_batch_pays_half_of_the_adds(client):
    client.order("settings", {"profile": "b"})

    answer = client.call("batch", {"cmd": {"a": "crm.item.add?entityTypeId=1&fields[title]=x"}}).json()

    assert answer["time"]["operating"] == 0.9
