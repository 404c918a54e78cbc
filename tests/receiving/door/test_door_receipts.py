"""What a sender gets for a good webhook: a receipt, the same again for a repeat; and what is on record then."""

from __future__ import annotations

import threading

import pytest

from relay.core.lifecycle import EventState, State
from relay.queue.jobs import queue_key
from relay.store.record.persons import PersonIndex
from relay.store.record.search import Filter, list_events
from relay.store.redis import keys
from tests.support.configs import rule_of
from tests.support.folders import WEB_SECRETS, copy_config
from tests.support.senders import JSON, SEED, SEED_CALL, dump, github, website


@pytest.fixture
def client(app):
    return app.test_client()


def test_the_example_of_bitrix24_is_recorded_to_the_letter(client, record, redis):
    answer = client.post("/hooks/website", data=dump(SEED), headers=website())

    receipt = answer.get_json()
    assert (answer.status_code, answer.content_type) == (200, JSON)
    assert set(receipt) == {"event_id", "state", "deliveries", "duplicate"}
    assert (receipt["state"], receipt["duplicate"]) == ("accepted", False)
    (delivery,) = record.deliveries(receipt["deliveries"])
    assert (delivery.rule, delivery.state, delivery.call.portal) == ("seed-example", State.PENDING, "main")
    assert delivery.call.to_wire() == SEED_CALL
    assert redis.llen(queue_key("main")) == 1, "a worker is woken"


def test_the_event_is_kept_as_it_came_without_the_proof(client, record):
    headers = {**website(), "X-Campaign": "spring", "Authorization": "Bearer abc", "Cookie": "session=1"}

    answer = client.post("/hooks/website?utm=mail&token=abc", data=b' {"a": 1}', headers=headers)

    event = record.event(answer.get_json()["event_id"])
    assert (event.source, event.state, event.method) == ("website", EventState.IGNORED, "POST")
    assert (event.body, event.query, event.headers["x-campaign"]) == (b' {"a": 1}', "utm=mail", "spring")
    assert not {"x-relay-token", "authorization", "cookie"} & set(event.headers)


def test_every_rule_that_wants_an_event_makes_a_delivery_of_its_own(make_app, valkey, record, tmp_path):
    folder = copy_config(tmp_path)
    second = (folder / "rules" / "seed-example.yaml").read_text("utf-8").replace("seed-example\n", "seed-twice\n")
    (folder / "rules" / "seed-twice.yaml").write_text(second, "utf-8")
    client = make_app(valkey, config=folder).test_client()

    receipt = client.post("/hooks/website", data=dump(SEED), headers=website()).get_json()

    assert [one.rule for one in record.deliveries(receipt["deliveries"])] == ["seed-example", "seed-twice"]


def test_a_repeat_gets_the_first_receipt_and_says_so(client, record):
    first = client.post("/hooks/website", data=dump({**SEED, "submission_id": "s-1"}), headers=website())
    second = client.post("/hooks/website", data=dump({**SEED, "submission_id": "s-1"}), headers=website())

    assert second.status_code == 200
    assert second.get_json() == {**first.get_json(), "duplicate": True}
    assert record.counts().total == 1
    assert record.event(first.get_json()["event_id"]).duplicates == 1


def test_githubs_redelivery_is_a_repeat_by_its_header_and_by_what_is_signed(client):
    first, other = (dump({"action": "opened", "issue": {"number": 3, "title": title}}) for title in "tu")
    receipts = [
        client.post("/hooks/github", data=body, headers=github(body, "issues", delivery)).get_json()
        for body, delivery in ((first, "d-1"), (first, "d-1"), (other, "d-1"), (first, "d-2"), (other, "d-2"))
    ]

    assert [receipt["duplicate"] for receipt in receipts] == [False, True, True, True, False]


@pytest.mark.parametrize("body", [SEED, {**SEED, "submission_id": ""}, {**SEED, "submission_id": None}])
def test_without_a_dedup_value_nothing_is_a_repeat(client, record, body):
    receipts = [client.post("/hooks/website", data=dump(body), headers=website()).get_json() for _ in range(2)]

    assert [receipt["duplicate"] for receipt in receipts] == [False, False]
    assert record.counts().total == 2


def test_a_rejected_event_keeps_nobody_from_sending_it_mended(client):
    bad = {"lead": {"id": "x"}, "user": 1, "submission_id": "s-2"}
    good = {"lead": {"id": 1}, "user": 1, "submission_id": "s-2"}

    assert client.post("/hooks/website", data=dump(bad), headers=website()).status_code == 422
    assert client.post("/hooks/website", data=dump(bad), headers=website()).status_code == 422
    answer = client.post("/hooks/website", data=dump(good), headers=website())

    assert (answer.status_code, answer.get_json()["duplicate"]) == (200, False)


@pytest.mark.parametrize(
    ("email", "phone", "named"),
    [("Ada@Example.com", "+1 202 555 0100", ["ada@example.com"]), ("ada at example", 7, ["ada at example", "7"])],
)
def test_the_person_of_a_rejected_event_is_found_by_what_was_typed_or_came(client, record, email, phone, named):
    rejected = {"document": "company", "id": "x", "email": email, "phone": phone}

    answer = client.post("/hooks/website", data=dump(rejected), headers=website())

    assert answer.status_code == 422
    for value in named:
        person_key = PersonIndex(WEB_SECRETS["RELAY_SECRET_KEY"]).key_of(value)
        assert record.size(keys.PERSON_INDEX + person_key) == 1, value


@pytest.mark.parametrize("senders", [2, 20])
def test_of_equal_posts_at_the_same_instant_one_is_an_event(app, record, senders):
    barrier = threading.Barrier(senders)
    answers = []

    def send():
        client = app.test_client()
        barrier.wait()
        answers.append(client.post("/hooks/website", data=dump({**SEED, "submission_id": "s"}), headers=website()))

    threads = [threading.Thread(target=send) for _ in range(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [answer.status_code for answer in answers] == [200] * senders
    assert sorted(answer.get_json()["duplicate"] for answer in answers) == [False] + [True] * (senders - 1)
    assert len({answer.get_json()["event_id"] for answer in answers}) == 1
    assert len(list_events(record, Filter()).rows) == 1


def test_an_event_without_a_matching_rule_is_ignored_with_success(client, record):
    body = dump({"zen": "Keep it logically awesome."})
    answer = client.post("/hooks/github", data=body, headers=github(body, "ping", "d-9"))

    assert (answer.status_code, answer.get_json()["state"]) == (200, "ignored")
    assert record.counts().total == 0


def test_a_query_of_another_charset_takes_no_good_body_with_it(relay, record):
    """Links of advertisements carry words in the charset of their own page."""
    rule = rule_of("site", name="body.name", term="query.utm_term", page="query.page")
    client = relay({"site": {"verify": {"kind": "none"}}}, [rule])

    answer = client.post("/hooks/site?utm_term=%EA%F3&page=%D1%8F&x=%ff+%d1%8f", json={"name": "Ada"})

    (delivery,) = answer.get_json()["deliveries"]
    assert record.delivery(delivery).call.parameters == {"Name": "Ada", "Term": "%EA%F3", "Page": "я"}
