"""`/metrics`: the shared record in Prometheus's form, to whoever may ask; what is drawn and alarmed from it exists."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from relay.core.ids import utc_now
from relay.core.lifecycle import EventState, State, Verdict
from relay.store.redis import keys
from tests.support.folders import CONFIG, WEB_SECRETS
from tests.support.making import NOON, bring_to, claim_one, hold, make_attempt, make_entry, write, write_one

HERE = {"REMOTE_ADDR": "127.0.0.1"}
FAR = {"REMOTE_ADDR": "192.0.2.1"}
NAME = re.compile(r"\brelay_[a-z_]+\b")


def told(app, **options):
    """Every sample by its name and labels."""
    answer = app.test_client().get("/metrics", environ_base=HERE, **options)
    assert answer.status_code == 200, answer.text
    assert answer.content_type.startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_an_empty_record_has_every_metric_with_nothing_in_it(app, record):
    found = told(app)

    for state in EventState:
        assert found["relay_events_total", state] == 0
    for state in State:
        assert found["relay_deliveries", state] == 0
    for verdict in Verdict:
        assert found["relay_attempts_total", verdict] == 0
    assert found["relay_ledger_balanced",] == 1
    assert (found["relay_gate_open", "main"], found["relay_oldest_waiting_seconds", "main"]) == (1, 0)


def test_the_metrics_are_what_is_on_record(app, record, redis):
    for _ in range(2):
        write(record, make_entry([], state=EventState.IGNORED))
    write(record, make_entry(digest="d"))
    write(record, make_entry(digest="d"))
    for state in State:
        bring_to(record, state)
    claimed = claim_one(record, write_one(record, NOON - timedelta(minutes=1)))
    record.settle(claimed, State.DEAD, NOON, attempt=make_attempt(Verdict.REJECTED), reason="x")
    oldest = utc_now() - timedelta(minutes=10)
    write_one(record, oldest)
    hold(redis, "main", "x", utc_now())
    redis.hset(keys.PACE + "main", mapping={"used:crm.item.add": "12.5 99999999999999", "used:user.get": "3 1"})

    found = told(app)

    assert found["relay_events_total", "ignored"] == 2
    assert found["relay_events_total", "duplicate"] == 1
    assert found["relay_deliveries", "dead"] == 2
    assert found["relay_outcomes_total", "dead"] == 2
    assert found["relay_time_to_workflow_seconds_count", "main"] == 1
    assert found["relay_outcomes_total", "started"] == 1
    assert found["relay_attempts_total", "rejected"] == 1
    assert found["relay_uncertain_for_person",] == 1
    assert (found["relay_gate_open", "main"], found["relay_gate_held", "main"]) == (0, 1)
    assert found["relay_operating_seconds", "main"] == 12.5
    assert found["relay_waiting", "main"] == len(record.page(keys.DELIVERIES_BY_STATE + "pending")) + 1
    assert found["relay_oldest_waiting_seconds", "main"] >= 600
    assert found["relay_source_last_event_timestamp_seconds", "website"] == pytest.approx(oldest.timestamp())


def test_books_that_do_not_balance_are_told(app, record, redis):
    bring_to(record, State.PENDING)
    redis.delete(keys.WAITING + "main")

    assert told(app)["relay_ledger_balanced",] == 0


def test_no_label_holds_anything_of_a_person(app, record):
    write(record, make_entry(body=b'{"email": "ada@example.com"}'))
    bring_to(record, State.DEAD)
    families = text_string_to_metric_families(app.test_client().get("/metrics", environ_base=HERE).text)

    labels = {name for family in families for sample in family.samples for name in sample.labels}
    assert labels == {"state", "verdict", "portal", "source", "code", "le"}


@pytest.mark.parametrize("name", ["Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"])
def test_what_was_forwarded_does_not_come_from_here(app, name):
    assert app.test_client().get("/metrics", environ_base=HERE, headers={name: "127.0.0.1"}).status_code == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("relay.localhost:8000", 200),
        ("127.0.0.1:8000", 200),
        ("127.8.9.1", 200),
        ("[::1]:8000", 200),
        ("LOCALHOST", 200),
        ("stranger.example", 401),
        ("stranger.example:8000", 401),
        ("localhost.stranger.example", 401),
        ("127.0.0.1.stranger.example", 401),
        ("192.0.2.1", 401),
        ("", 401),
        ("[::1", 401),
        ("x@127.0.0.1", 401),
    ],
)
def test_a_page_of_a_stranger_does_not_read_it_under_a_name_of_its_own(app, host, status):
    answer = app.test_client().get("/metrics", environ_base=HERE, environ_overrides={"HTTP_HOST": host})

    assert answer.status_code == status
    assert ("relay_events" in answer.text) is (status == 200)


def test_from_elsewhere_it_needs_a_token_and_the_reading_one_is_enough(app, reader):
    client = app.test_client()

    refused = client.get("/metrics", environ_base=FAR)
    assert (refused.status_code, refused.content_type) == (401, "application/problem+json")
    assert client.get("/metrics", environ_base=FAR, headers=reader.headers).status_code == 200


@pytest.mark.parametrize("settings", [{"public_url": "https://relay.example.com"}, {"trusted_proxies": ("127.0.0.1",)}])
def test_with_something_in_front_everybody_comes_from_here_so_everybody_needs_a_token(
    make_app, shared_valkey, settings
):
    shared_valkey.make_fresh()
    client = make_app(shared_valkey, **settings).test_client()
    token = {"Authorization": f"Bearer {WEB_SECRETS['RELAY_API_TOKEN']}"}

    assert client.get("/metrics", environ_base=HERE).status_code == 401
    assert client.get("/metrics", environ_base=HERE, headers=token).status_code == 200


def test_while_the_record_is_away_there_is_no_half_a_truth(make_app, own_valkey):
    client = make_app(own_valkey).test_client()
    own_valkey.kill()

    assert client.get("/metrics", environ_base=HERE).status_code == 503


def names_of(text):
    return set(NAME.findall(text))


@pytest.fixture
def known(app, record):
    write_one(record)
    return {name for name, *_ in told(app)}


def test_every_metric_that_the_dashboard_draws_exists(known):
    (path,) = (CONFIG / "grafana").glob("*.json")
    dashboard = json.loads(path.read_text("utf-8"))
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]

    assert len(expressions) > 8
    assert {name for text in expressions for name in names_of(text)} <= known
    assert [panel["title"] for panel in dashboard["panels"] if not panel.get("description")] == []


def test_every_metric_that_an_alert_rule_looks_at_exists_and_each_says_what_to_do(known):
    rules = yaml.safe_load((CONFIG / "prometheus" / "alerts.yml").read_text("utf-8"))
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]

    assert len(alerts) >= 6
    assert {name for rule in alerts for name in names_of(rule["expr"])} <= known
    for rule in alerts:
        assert {"summary", "description"} <= rule["annotations"].keys()
        assert rule["labels"]["severity"] in {"page", "ticket"}
