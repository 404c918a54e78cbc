"""The document first: what a workflow runs on is found or made, step by step, and then the workflow starts on it."""

from __future__ import annotations

import pytest

from relay.core.lifecycle import State, Verdict
from relay.core.phones import ways_to_write
from relay.core.plan import STOP, Many
from tests.delivering.contexts import BATCHING, add, methods, send, started_documents, work_off
from tests.delivering.plans import (
    CLIENT,
    MADE,
    OWNER,
    PHONE,
    find,
    fire,
    later,
    made,
    make,
    outcomes,
    planned,
    result,
    tries,
)

FIND, LIST, USERS, ADD, IMPORT = (
    "crm.duplicate.findbycomm", "crm.item.list", "user.get", "crm.item.add", "crm.item.import",
)  # fmt: skip
START, FIRE = "bizproc.workflow.start", "crm.automation.trigger"
CLARA = {"phone": "+79000000017", "email": "clara@example.com"}


def done(context, delivery):
    """Work until there is nothing to do; how the delivery is then."""
    work_off(context)
    return context.record.delivery(delivery.id)


def contacts(portal, count, phone=PHONE):
    """Contacts of this number, as people have entered them; their ids."""
    fields = {"name": "A", "fm": [{"typeId": "PHONE", "valueType": "WORK", "value": phone}]}
    return [one["id"] for one in portal.add_documents([{"entityTypeId": 3, "fields": fields}] * count)]


def test_a_stranger_gets_a_lead_and_the_process_starts_on_it(context, record, portal):
    delivery = planned(record, CLIENT, OWNER, MADE, parameters={"Parameter1": later("user_", result("owner").parts[0])})

    delivery = done(context, delivery)

    (lead,) = made(portal)
    assert delivery.state is State.STARTED
    assert outcomes(delivery) == {"client": ("nothing", None), "owner": ("found", 2), "lead": ("made", lead["id"])}
    assert lead["fields"] == {
        "title": "T",
        "assignedById": 2,
        "fm": [{"typeId": "PHONE", "valueType": "WORK", "value": PHONE}],
        "originatorId": "relay",
        "originId": f"{delivery.id}/lead",
    }
    assert started_documents(portal) == [f"LEAD_{lead['id']}"]
    assert portal.started()[0]["parameters"]["Parameter1"] == "user_2"
    assert record.counts().imbalances == []


def test_each_step_is_one_attempt_with_its_name_and_the_start_has_none(context, record):
    delivery = done(context, planned(record, CLIENT, OWNER, MADE))

    assert tries(delivery) == [
        ("client", "done"),
        ("client", "done"),
        ("owner", "done"),
        ("lead", "done"),
        ("", "started"),
    ]
    assert [attempt.number for attempt in delivery.attempts] == [1, 2, 3, 4, 5]
    assert [one.attempts for one in delivery.results] == [2, 1, 1]


def test_a_step_is_one_claim_and_one_call(context, record, portal):
    delivery = planned(record, CLIENT, MADE)

    seen = []
    for _ in range(4):
        delivery = send(context, delivery)
        seen.append((delivery.state, delivery.next_step and delivery.next_step.name, delivery.asked))

    assert seen == [
        (State.PENDING, "client", 1),
        (State.PENDING, "lead", 0),
        (State.PENDING, None, 0),
        (State.STARTED, None, 0),
    ]
    assert methods(portal) == {FIND: 2, ADD: 1, START: 1}


def test_the_call_is_shown_with_its_places_until_the_last_step_is_done_and_is_found_by_its_document_then(
    context, record
):
    delivery = planned(record, MADE, parameters={"Note": later("lead ", result("lead").parts[0])})
    assert (delivery.call.document_id[2], delivery.call.parameters["Note"]) == ("LEAD_{lead}", "lead {lead}")
    assert record.of_document("LEAD_{lead}", 10) == [delivery.id]

    delivery = send(context, delivery)

    document = f"LEAD_{delivery.values['lead']}"
    assert (delivery.state, delivery.call.document_id[2]) == (State.PENDING, document)
    assert delivery.call.parameters["Note"] == f"lead {delivery.values['lead']}"
    assert record.of_document(document, 10) == [delivery.id]
    assert record.of_document("LEAD_{lead}", 10) == []


def test_a_delivery_tells_its_steps(context, record):
    delivery = send(context, planned(record, OWNER, MADE))

    wire = delivery.to_wire()
    assert [(one["name"], one["kind"], one["state"], one["how"], one["value"]) for one in wire["steps"]] == [
        ("owner", "find", "done", "found", 2),
        ("lead", "make", "waiting", None, None),
    ]
    assert [attempt["step"] for attempt in wire["attempts"]] == ["owner"]


def test_a_delivery_without_a_plan_is_as_it_always_was(context, record, portal):
    delivery = send(context, add(record))

    assert (delivery.state, delivery.to_wire()["steps"]) == (State.STARTED, [])
    assert not any(record.redis.hexists(f"relay:delivery:{delivery.id}", name) for name in ("method", "results"))
    assert methods(portal) == {START: 1}


def test_steps_of_many_deliveries_share_batches_and_no_workflow_starts_twice(open_context, record, portal):
    context = open_context(**BATCHING)
    context.pace.learn_took(context.pace.read(), "1", 10)
    deliveries = [planned(record, CLIENT, OWNER, MADE) for _ in range(30)]

    work_off(context)

    assert {one.state for one in record.deliveries(one.id for one in deliveries)} == {State.STARTED}
    assert len(made(portal)) == len(set(started_documents(portal))) == len(portal.started()) == 30
    assert {one["times_made"] for one in made(portal)} == {1}
    assert max(attempt.batch_size for one in record.deliveries([deliveries[0].id]) for attempt in one.attempts) > 1
    assert methods(portal)["batch"] < 30


def test_the_oldest_goes_on_first(open_context, record, portal):
    context = open_context(rate_per_s=0.001, burst=1000)
    deliveries = [planned(record, OWNER, MADE) for _ in range(3)]

    for _ in range(3):
        send(context, deliveries[0])

    assert [one.state for one in record.deliveries(one.id for one in deliveries)] == [
        State.STARTED,
        State.PENDING,
        State.PENDING,
    ]
    assert [len(one.results) for one in record.deliveries(one.id for one in deliveries)] == [2, 0, 0]


# Finding.


@pytest.mark.parametrize("given", ["8 (900) 000-00-17", "+79000000017", "79000000017", "8-900-000-00-17"])
def test_a_client_is_found_in_whatever_way_the_number_is_written(context, record, portal, given):
    delivery = send(context, planned(record, find("client", "contact", {"phone": given}), MADE))

    assert outcomes(delivery) == {"client": ("found", 17)}
    assert methods(portal) == {FIND: 1}


@pytest.mark.parametrize(
    ("phone", "spellings"),
    [
        ("8 900 000-00-17", ["8 900 000-00-17", "+79000000017", "79000000017", "89000000017"]),
        ("+79000000017", ["+79000000017", "79000000017", "89000000017"]),
        ("+49 30 1234567", ["+49 30 1234567", "+49301234567", "49301234567"]),
        ("nobody", ["nobody"]),
    ],
)
def test_the_spellings_of_a_number(phone, spellings):
    assert ways_to_write(phone) == spellings


def test_an_address_is_asked_for_only_where_the_number_is_not_known(context, record, portal):
    by_mail = find("client", "contact", {"phone": PHONE, "email": "clara@example.com"})

    assert outcomes(done(context, planned(record, by_mail, MADE)))["client"] == ("found", 17)
    assert methods(portal)[FIND] == 2
    done(context, planned(record, find("client", "contact", CLARA), MADE))
    assert methods(portal)[FIND] == 3


@pytest.mark.parametrize("values", [{"phone": PHONE}, {"name": "A"}])
def test_of_several_the_rule_takes_one(context, record, portal, values):
    first, _, last = contacts(portal, 3)

    for many, chosen in ((Many.NEWEST, last), (Many.OLDEST, first)):
        delivery = done(context, planned(record, find("client", "contact", values, many=many), MADE))
        assert outcomes(delivery)["client"] == ("several", chosen)


@pytest.mark.parametrize(
    ("values", "method"),
    [({"phone": PHONE}, FIND), ({"name": "nobody"}, LIST), ({"name": ["nobody", "no one"]}, LIST)],
)
def test_a_list_of_nothing_is_nothing(context, record, portal, values, method):
    delivery = send(context, planned(record, find("client", "contact", values), MADE))

    assert outcomes(delivery) == {"client": ("nothing", None)}
    assert methods(portal) == {method: 1}


@pytest.mark.parametrize("none", [None, 1])
def test_what_stands_for_nothing(context, record, portal, none):
    delivery = done(context, planned(record, find("owner", "user", {"email": "x@example.com"}, none=none), MADE))

    assert outcomes(delivery)["owner"] == ("nothing", none)
    assert made(portal)[0]["fields"].get("assignedById") == none


@pytest.mark.parametrize("values", [{"phone": "", "email": None}, {"name": "A", "lastName": ""}, {"name": []}])
def test_where_there_is_nothing_to_look_for_nobody_is_asked(context, record, portal, values):
    contacts(portal, 1)

    delivery = done(context, planned(record, find("client", "contact", values), MADE))

    assert (delivery.state, outcomes(delivery)["client"]) == (State.STARTED, ("nothing", None))
    assert methods(portal) == {ADD: 1, START: 1}
    assert tries(delivery) == [("lead", "done"), ("", "started")]


@pytest.mark.parametrize("email", ["gus@example.com", "ida@example.com"])
def test_who_has_left_or_is_a_partners_is_not_found(context, record, email):
    delivery = send(context, planned(record, find("owner", "user", {"email": email}, none=1), MADE))

    assert outcomes(delivery) == {"owner": ("nothing", 1)}


def test_a_find_may_use_what_an_earlier_one_has_found(context, record, portal):
    (deal,) = portal.add_documents([{"entityTypeId": 2, "fields": {"title": "D", "contactId": 17}}])
    steps = (find("client", "contact", CLARA), find("deal", "deal", {"contactId": result("client")}))

    delivery = done(context, planned(record, *steps, make("lead", "lead")))

    assert outcomes(delivery)["deal"] == ("found", deal["id"])


def test_an_answer_that_is_to_be_kept_is_asked_for_once(context, record, portal):
    owner = find("owner", "user", {"email": "ben@example.com"}, keep_s=3600)
    deliveries = [planned(record, owner, MADE) for _ in range(3)]

    work_off(context)

    outcome = [outcomes(one)["owner"] for one in record.deliveries(one.id for one in deliveries)]
    assert outcome == [("found", 2), ("kept", 2), ("kept", 2)]
    assert methods(portal)[USERS] == 1


def test_what_is_kept_names_nobody_and_is_forgotten_in_time(context, record, redis):
    send(context, planned(record, find("owner", "user", {"email": "ben@example.com"}, keep_s=60), MADE))

    (key,) = redis.keys("relay:found:*")
    assert redis.get(key) == b"2"
    assert 0 < redis.ttl(key) <= 60
    assert b"ben" not in key


def test_nothing_is_not_remembered(context, record, redis):
    send(context, planned(record, find("owner", "user", {"email": "x@example.com"}, keep_s=60), MADE))

    assert redis.keys("relay:found:*") == []


def test_one_of_several_is_not_remembered_where_the_rule_is_to_stop(context, record, portal, redis):
    contacts(portal, 2)

    send(context, planned(record, find("client", "contact", {"phone": PHONE}, many=Many.STOP, keep_s=60), MADE))

    assert redis.keys("relay:found:*") == []


# Making.


@pytest.mark.parametrize("found", [True, False])
def test_a_client_is_found_or_made_in_two_lines(context, record, portal, found):
    known = find("known", "contact", CLARA if found else {"phone": PHONE})
    contact = make("client", "contact", {"phone": PHONE}, unless="known")

    delivery = done(context, planned(record, known, contact, MADE))

    (lead,) = made(portal)
    client = 17 if found else made(portal, "contact")[0]["id"]
    assert outcomes(delivery)["client"] == ("taken" if found else "made", client)
    assert lead["fields"]["contactId"] == client


def test_quietly_the_portals_own_automation_does_not_run_and_numbers_arrive_all_the_same(context, record, portal):
    delivery = done(context, planned(record, make("lead", "lead", {"phone": [PHONE]}, is_quiet=True)))

    assert delivery.state is State.STARTED
    assert methods(portal) == {IMPORT: 1, START: 1}
    (lead,) = portal.items.made
    assert [(one.type_id, one.value) for one in lead.multifields] == [("PHONE", PHONE)]
    assert lead.values["originId"] == f"{delivery.id}/lead"


@pytest.mark.parametrize(
    ("step", "fields"),
    [
        (make("made", "deal"), ("originatorId", "originId")),
        (make("made", "contact"), ("originatorId", "originId")),
        (make("made", "company"), ("originatorId", "originId")),
        (make("made", "invoice"), ("xmlId",)),
        (make("made", "dynamic"), ("xmlId",)),
        (make("made", "quote", own_field="ufCrmRelay"), ("ufCrmRelay",)),
    ],
)
def test_what_is_made_carries_our_own_id(context, record, portal, step, fields):
    portal.configure(crm_fields=[{"entityTypeId": 7, "name": "ufCrmRelay"}])
    delivery = done(context, planned(record, step, lead=1))

    (item,) = portal.items.to_json()
    own = f"{delivery.id}/made"
    assert [item["fields"][name] for name in fields] == (["relay", own] if len(fields) > 1 else [own])


def test_values_arrive_as_they_are_whether_they_go_alone_or_in_a_batch(open_context, record, portal):
    context = open_context(**BATCHING)
    portal.configure(crm_fields=[{"entityTypeId": 1, "name": "ufCrmFile", "type": "file"}])
    text = "<b>$result[d0]</b> & ünïcode"
    plain = [planned(record, make("lead", "lead", {"title": f"n{n}"})) for n in range(3)]
    odd = planned(record, make("lead", "lead", {"title": text, "ufCrmFile": ["a.txt", "QQ=="], "opened": True}))

    work_off(context)

    fields = {one["fields"]["originId"]: one["fields"] for one in made(portal)}
    assert fields[f"{odd.id}/lead"]["title"] == text
    assert fields[f"{odd.id}/lead"]["opened"] == "Y"
    assert fields[f"{odd.id}/lead"]["ufCrmFile"] == ["a.txt", "QQ=="]
    assert [fields[f"{one.id}/lead"]["title"] for one in plain] == ["n0", "n1", "n2"]
    assert record.delivery(odd.id).attempts[0].batch_size == 1


# Firing.


def test_a_trigger_is_fired_before_the_start(context, record, portal):
    delivery = done(context, planned(record, MADE, fire()))

    assert (delivery.state, outcomes(delivery)["trigger"]) == (State.STARTED, ("fired", None))
    assert tries(delivery)[-2:] == [("trigger", "done"), ("", "started")]
    assert methods(portal) == {ADD: 1, FIRE: 1, START: 1}


def test_a_plan_that_ends_with_a_trigger_has_no_workflow_and_says_just_that(context, record, portal):
    delivery = done(context, planned(record, MADE, fire(), template=0))

    assert (delivery.state, delivery.reason, delivery.workflow_id) == (State.STARTED, "triggered", None)
    assert methods(portal) == {ADD: 1, FIRE: 1}
    assert record.counts().imbalances == []


# Ending.


def test_a_document_that_is_nothing_ends_the_delivery(context, record, portal):
    step = find("lead", "lead", {"phone": PHONE})

    delivery = done(context, planned(record, step))

    assert (delivery.state, delivery.reason) == (State.DEAD, "document_missing")
    assert portal.started() == []


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (find("client", "contact", {"phone": PHONE}, none=STOP), "nothing_found"),
        (find("client", "contact", {"phone": ""}, none=STOP), "nothing_found"),
        (find("client", "contact", {"name": "A"}, many=Many.STOP), "several_found"),
    ],
)
def test_a_find_that_is_to_stop_ends_the_delivery_before_anything_is_made(context, record, portal, step, reason):
    contacts(portal, 2, "+79990000002")

    delivery = done(context, planned(record, step, MADE))

    assert (delivery.state, delivery.reason, made(portal)) == (State.DEAD, reason, [])
    assert [attempt.verdict for attempt in delivery.attempts] in ([], [Verdict.DONE])
