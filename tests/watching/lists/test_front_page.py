"""The first page: what needs a person comes first, the charts tell what happened, and it says how fresh it is."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from relay.core.errors import Mistake
from relay.core.ids import new_event_id, time_of, to_ms, utc_now
from relay.core.lifecycle import EventState, State
from relay.core.templates import Drift, DriftKind
from relay.store import Store
from relay.store.portals.portal import PortalRecord
from relay.store.record.statistics import SPANS, Bar, Series, Statistics
from tests.support.making import bring_to, claim_one, hold, make_attempt, make_entry, write, write_one
from tests.support.senders import SEED, dump, website

SAME = {"Origin": "http://localhost", "Accept": "text/html"}


def front(client, path="/"):
    answer = client.get(path, headers=SAME)
    assert answer.status_code == 200
    return answer.text


def needs(client):
    found = re.findall(r'<a class="need \w+" href="([^"]+)"><strong>([^<]+)</strong> <span>([^<]+)', front(client))
    return {words: (count, link) for link, count, words in found}


def test_where_nothing_is_wrong_it_says_so(operator, record):
    bring_to(record, State.STARTED, utc_now())

    assert needs(operator) == {}
    assert "every delivery is done or on its way" in front(operator)


def test_dead_and_uncertain_come_first_and_lead_to_their_lists(operator, record):
    for _ in range(2):
        bring_to(record, State.DEAD, utc_now())
    bring_to(record, State.UNCERTAIN, utc_now())

    assert needs(operator) == {
        "dead: given up, and neither replayed nor left": ("2", "/needs#dead"),
        "uncertain: only a person can tell whether they started": ("1", "/needs#uncertain"),
    }


def test_a_delivery_that_waits_long_is_told_with_its_age(operator, record):
    write_one(record, utc_now() - timedelta(hours=3))

    url = "/deliveries?state=pending&amp;portal=main"
    assert needs(operator) == {"the first in line waits for portal main": ("3 h", url)}


def test_held_portals_and_drift_are_told(operator, redis):
    hold(redis, "main", "invalid_credentials", utc_now())
    drift = [Drift(DriftKind.NO_TEMPLATE, "x", 1), Drift(DriftKind.NO_LEADS, "y", 2)]
    earlier = {**drift[0].to_wire(), "kind": "of an earlier version"}
    PortalRecord(redis, "main").keep_drift([*(one.to_wire() for one in drift), earlier])

    found = needs(operator)

    assert found["portal main"] == ("held", "/portals#main")
    assert found["mismatch between rules and workflows of portal main"] == ("1", "/portals#main")
    portals = front(operator, "/portals")
    assert "Make a new one" in portals
    assert "no such template" in portals


def test_a_source_that_has_fallen_silent_is_told(operator, record):
    write(record, make_entry([], at=utc_now() - timedelta(days=3)))

    assert needs(operator) == {"no word from source website": ("3 d", "/sources")}


def test_changed_files_that_wait_and_what_is_in_the_configuration_no_more_are_told(operator, record, redis):
    files = Store(redis).files
    files.say_waiting(
        "web@here", [Mistake("rules/a.yaml", 6, "unknown portal"), Mistake("rules/b.yaml", 1, "missing")], utc_now()
    )
    write_one(record, utc_now(), portal="former")
    removed = write_one(record, utc_now())
    files.note_rules([removed.rule], [], utc_now())

    words = "in changed files that the web process on here cannot use: those before stay in force"
    assert needs(operator) == {
        words: ("2 mistakes", "/rules#waiting-files"),
        "for portal former, which portals.yaml no longer has: nobody sends them": ("1", "/deliveries?portal=former"),
        f"of rule {removed.rule}, which was removed: sent as they were made": ("2", f"/deliveries?rule={removed.rule}"),
    }


def test_the_counts_of_the_last_hour_are_those_of_what_happened(operator, record, redis):
    for content in (SEED, {"document": "deal", "id": "x"}, {"nothing": 1}):
        operator.post("/hooks/website", data=dump(content), headers=website())
    operator.post("/hooks/website", data=b"{}")
    at = utc_now()
    for state in (State.STARTED, State.DEAD, State.UNCERTAIN):
        delivery = write_one(record, at - timedelta(seconds=2))
        claimed = claim_one(record, delivery, at)
        record.settle(claimed, state, at, attempt=make_attempt(), workflow_id=state if state is State.STARTED else None)

    for name in ("hour", "day", "week"):
        series = Statistics(redis).series(utc_now())[name]
        assert [series.total(f"event:{state}") for state in ("accepted", "rejected", "ignored", "refused")] == [
            4,
            1,
            1,
            1,
        ]
        assert [series.total(f"delivery:{state}") for state in ("started", "dead", "uncertain")] == [1, 1, 1]
        assert (series.mean_latency_ms, series.within_ms(0.95)) == (2000, 5000)
        assert series.total("source:website:refused") == 1
        text = front(operator, f"/?span={name}")
        assert "4 accepted" in text
        assert "2.0 s on average, 95 % within 5 s" in text
        assert f"The last {name}" in text


def test_looking_again_at_an_uncertain_one_counts_it_once(record, redis):
    uncertain = bring_to(record, State.UNCERTAIN, utc_now())
    record.settle(uncertain, State.UNCERTAIN, utc_now(), looks=1)

    assert Statistics(redis).series(utc_now())["hour"].total("delivery:uncertain") == 1


def test_latencies_that_an_earlier_version_has_counted_by_fewer_bounds_are_added_up_with_todays():
    counts = {"delivery:started": 100, "latency:1000": 40, "latency:250": 30, "latency:2500": 20, "latency:5000": 10}
    series = Series(SPANS[0], (Bar(utc_now(), counts),))

    assert [series.within_ms(share) for share in (0.5, 0.7, 0.71, 1)] == [1000, 1000, 5000, 5000]


def test_counts_forget_themselves(record, redis):
    write_one(record)

    counted = [*redis.keys("relay:minute:*"), *redis.keys("relay:hour:*")]

    assert len(counted) == 2
    assert all(0 < redis.ttl(key) <= 8 * 86_400 for key in counted)


def test_an_empty_record_draws_empty_charts(operator):
    text = front(operator)

    assert text.count('<svg viewBox="0 0 600') == 3
    assert "<rect" not in text


def test_a_span_that_is_none_is_an_hour(operator):
    assert "The last hour" in front(operator, "/?span=century")


def test_workers_are_shown_with_their_heartbeat_and_their_absence_is_told(operator, redis):
    assert "No worker is running" in front(operator)
    for name, age in (("main.host.1", timedelta(seconds=5)), ("main.host.2", timedelta(hours=1))):
        beat = (utc_now() - age).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        redis.sadd("rq:workers", f"rq:worker:{name}")
        redis.hset(f"rq:worker:{name}", mapping={"queues": "portal-main", "state": "idle", "last_heartbeat": beat})
    redis.sadd("rq:workers", "rq:worker:gone")

    text = front(operator)

    assert "main.host.1" in text
    assert text.count(">lost<") == 1
    assert "gone" not in text


def test_the_old_address_of_the_list_leads_to_it(operator):
    assert operator.get("/?state=dead&_scheme=javascript&_external=1").headers["Location"] == "/events?state=dead"


def test_an_id_tells_its_time():
    at = utc_now()
    assert to_ms(time_of(new_event_id(at))) == to_ms(at)


@pytest.mark.parametrize("state", [EventState.REFUSED])
def test_a_refused_request_is_explained(operator, state, record):
    operator.post("/hooks/website", data=b"{}", headers={"X-Relay-Token": "wrong"})
    (event_id,) = re.findall(r"evt_\w{26}", front(operator, f"/events?state={state}"))[:1]

    text = front(operator, f"/events/{event_id}")

    assert "wrong token" in text
    assert "another token than the one configured" in text
