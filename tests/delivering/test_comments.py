"""A comment follows its start, once at most; what it meets neither holds a start up nor changes what became of it."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from relay.core.events import CommentProgress, CommentState
from relay.core.lifecycle import State
from relay.core.placeholders import Placeholder
from relay.core.plan import Call, Comment
from relay.operations.replay import Replayer
from relay.rules import RuleBook
from relay.store.portals.gate import GateState
from relay.store.record.compaction import Compaction
from relay.store.redis import keys
from tests.delivering.contexts import add, look_into, send, work_off
from tests.delivering.plans import later, make, planned
from tests.support.making import claim_one, make_delivery, make_entry, write
from tests.support.waiting import until
from workers.bitrix24.timeline import LOG
from workers.delivery import comments
from workers.delivery.comments import PATIENCE, Sender

START = "bizproc.workflow.start"
LEAD = ("crm", "CCrmDocumentLead", "LEAD_1")
OBJECTS = r"Bitrix\Crm\Integration\BizProc\Document"
DOCUMENTS = [
    LEAD,
    ("crm", "CCrmDocumentDeal", "DEAL_2"),
    ("crm", "CCrmDocumentContact", "CONTACT_3"),
    ("crm", "CCrmDocumentCompany", "COMPANY_4"),
    ("crm", rf"{OBJECTS}\Quote", "QUOTE_7"),
    ("crm", rf"{OBJECTS}\SmartInvoice", "SMART_INVOICE_8"),
    ("crm", rf"{OBJECTS}\Dynamic", "DYNAMIC_147_9"),
]


@pytest.fixture
def said(portal):
    """What stands in the portal's timelines, oldest first."""
    return portal.comments


def add_commented(context, text="Ada asks for a call", *, is_loud=False, document=LEAD):
    entry = make_entry(at=context.clock())
    call = Call("main", 1, document, {"Note": "n"}, Comment(text, is_loud))
    delivery = make_delivery(entry.event.id, at=context.clock(), call=call)
    event = replace(entry.event, deliveries=(delivery.id,))
    write(context.record, replace(entry, event=event, deliveries=[replace(delivery, comment=CommentProgress())]))
    return delivery


def started_on(context, document, **about):
    """A delivery whose workflow has started on this document; the portal has no template for some."""
    delivery = add_commented(context, "It has begun", document=document, **about)
    claimed = claim_one(context.record, delivery, context.clock())
    context.record.settle(claimed, State.STARTED, context.clock(), workflow_id="w")
    return delivery


def started(context, *texts, **about):
    """Deliveries whose workflows have started, and whose comments wait."""
    deliveries = [add_commented(context, text, **about) for text in texts]
    work_off(context)
    return deliveries


def comment_of(context, delivery):
    progress = context.record.delivery(delivery.id).comment
    return progress.state, progress.reason


def texts(said):
    return [line.text for line in said]


def test_after_its_start_a_quiet_line_stands_in_the_timeline_of_the_document(context, said):
    delivery = add_commented(context)
    assert comment_of(context, delivery) == (CommentState.WAITING, "")
    Sender(context).work()
    assert said == []

    send(context, delivery)
    Sender(context).work()

    (line,) = said
    assert (line.kind, line.document, line.title, line.text, line.icon) == (
        "log",
        "LEAD_1",
        "a-rule",
        "Ada asks for a call",
        "info",
    )
    found = context.record.delivery(delivery.id)
    assert (found.state, found.comment) == (State.STARTED, CommentProgress(CommentState.SENT, "", found.comment.at, 0))


@pytest.mark.parametrize("is_loud", [False, True])
@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_document_of_crm_has_a_timeline_and_a_loud_line_is_a_comment(context, said, document, is_loud):
    started_on(context, document, is_loud=is_loud)
    Sender(context).work()

    (line,) = said
    assert (line.kind, line.document, line.text) == ("comment" if is_loud else "log", document[2], "It has begun")


def test_a_document_of_another_module_has_no_timeline_and_the_delivery_says_so(context, said):
    delivery = started_on(context, ("lists", "BizprocDocument", "5"))
    Sender(context).work()

    assert (said, comment_of(context, delivery)) == ([], (CommentState.MISSING, "comment_no_document"))


LOST = [("cut", "cut"), ("drop_after_start", "cut"), ("truncated", "cut"), ("not_json", "unreadable")]


@pytest.mark.parametrize("kind", [kind for kind, _ in LOST])
def test_a_comment_whose_answer_was_lost_is_not_sent_again_and_counts_as_missing(context, portal, said, clock, kind):
    (delivery,) = started(context, "n")
    portal.add_faults([{"kind": kind, "method": LOG}])
    Sender(context).work()

    clock.advance(86_400)
    Sender(context).work()

    assert len(said) == 1
    assert comment_of(context, delivery)[0] is CommentState.MISSING
    assert context.record.delivery(delivery.id).state is State.STARTED
    assert context.gate.look().is_open


def test_a_worker_that_dies_between_claim_and_call_leaves_the_comment_missing(context, open_context, said):
    (delivery,) = started(context, "n")
    context.store.comments.claim("main", "of-the-dead", context.clock(), 50)

    Sender(open_context()).work()

    assert (said, comment_of(context, delivery)) == ([], (CommentState.MISSING, "comment_unknown"))


REFUSED = [
    ("OWNER_NOT_FOUND", 400, "owner_not_found"),
    ("ACCESS_DENIED", 403, "access_denied"),
    ("insufficient_scope", 403, "insufficient_scope"),
    ("NEW_CODE", 400, "unknown_answer"),
]


@pytest.mark.parametrize("refusal", REFUSED)
def test_what_the_portal_refuses_is_missing_for_its_reason_and_nothing_else_changes(context, portal, said, refusal):
    code, status, reason = refusal
    (delivery,) = started(context, "n")
    portal.add_faults([{"kind": "command_error", "method": LOG, "code": code, "status": status}])
    Sender(context).work()

    assert (said, comment_of(context, delivery)) == ([], (CommentState.MISSING, reason))
    assert context.record.delivery(delivery.id).state is State.STARTED
    assert (context.gate.look().state, context.pace.read().methods.get(LOG)) == (GateState.OPEN, None)
    assert send(context, add(context.record)).state is State.STARTED


@pytest.mark.parametrize(
    "fault",
    [{"kind": "http_503"}, {"kind": "error", "code": "expired_token"}, {"kind": "error", "code": "CONNECTION_ERROR"}],
)
def test_what_was_certainly_not_executed_is_sent_again_and_then_stands_there_once(context, portal, said, clock, fault):
    (delivery,) = started(context, "n")
    portal.add_faults([{"method": LOG, **fault}])
    sender = Sender(context)
    sender.work()
    assert (said, comment_of(context, delivery)[0]) == ([], CommentState.WAITING)

    clock.advance(60)
    sender.work()
    clock.advance(86_400)
    sender.work()

    assert (len(said), comment_of(context, delivery)[0]) == (1, CommentState.SENT)


def test_what_is_never_executed_is_given_up_in_the_end(context, portal, said, clock):
    (delivery,) = started(context, "n")
    portal.add_faults([{"kind": "http_503", "method": LOG, "share": 1.0}])
    for _ in range(20):
        Sender(context).work()
        clock.advance(86_400)

    assert (said, comment_of(context, delivery)) == ([], (CommentState.MISSING, "query_limit_exceeded"))


def test_comments_go_together_but_what_a_batch_could_change_goes_alone(context, portal, said):
    started(context, "one", "two", "$result[d0]", "<b>", "three", "four")
    before = portal.log.counters()["by_method"].get("batch", 0)
    Sender(context).work()

    assert texts(said) == ["one", "two", "$result[d0]", "<b>", "three", "four"]
    methods = portal.log.counters()["by_method"]
    assert (methods["batch"] - before, methods[LOG]) == (2, 2)


def test_in_a_batch_that_is_cut_all_are_missing_and_none_is_sent_twice(context, portal, said, clock):
    deliveries = started(context, "one", "two")
    portal.add_faults([{"kind": "drop_after_start", "method": "batch"}])
    Sender(context).work()
    clock.advance(86_400)
    Sender(context).work()

    assert texts(said) == ["one", "two"]
    assert {comment_of(context, one) for one in deliveries} == {(CommentState.MISSING, "cut")}


def test_a_portal_that_takes_no_batch_gets_them_one_by_one(context, portal, said, clock):
    started(context, "one", "two")
    portal.add_faults([{"kind": "error", "method": "batch", "code": "ERROR_BATCH_METHOD_NOT_ALLOWED", "share": 1.0}])
    sender = Sender(context)
    for _ in range(3):
        sender.work()
        clock.advance(60)

    assert sorted(texts(said)) == ["one", "two"]


def test_starts_that_are_due_go_first_until_a_comment_has_waited_for_long(context, said, clock):
    started(context, "one")
    add(context.record, lead=2)
    sender = Sender(context)
    sender.work()
    assert said == []

    clock.advance(PATIENCE.total_seconds() + 1)
    sender.work()
    assert texts(said) == ["one"]


def test_comments_wait_at_a_closed_gate_and_go_when_it_opens(context, said, clock):
    started(context, "one")
    context.gate.pause_by_person(clock(), None)
    Sender(context).work()
    assert said == []

    context.gate.resume(clock())
    Sender(context).work()
    assert texts(said) == ["one"]


def test_a_gate_that_has_just_opened_is_proven_by_a_start_before_comments_go(context, said, clock):
    started(context, "one")
    gate = context.gate
    gate.back_off(gate.look(), "unreachable", clock())
    gate.open(gate.look(), clock())
    add(context.record, lead=2)
    clock.advance(PATIENCE.total_seconds() + 1)
    Sender(context).work()
    assert said == []

    work_off(context)
    Sender(context).work()
    assert texts(said) == ["one"]


def test_a_portal_that_hangs_on_a_comment_starts_others_meanwhile(context, open_context, portal, portal_time, said):
    started(context, "one")
    portal_time.is_real = True
    portal.add_faults([{"kind": "slow", "method": LOG, "seconds": 2}])
    thread = threading.Thread(target=Sender(open_context(own=True)).work)
    thread.start()
    until(
        lambda: "crm.timeline.logmessage.add" in str(portal.log.to_json()) or len(said) == 1,
        "the comment is on its way",
    )

    delivery = send(context, add(context.record, lead=2))

    assert (delivery.state, thread.is_alive()) == (State.STARTED, True)
    thread.join()


def test_a_claim_whose_answer_was_lost_is_made_again_and_gets_the_same(context):
    deliveries = started(context, "one", "two", "three")
    store, now = context.store.comments, context.clock()
    first = store.claim("main", "a", now, 2)

    assert (
        [one.id for one in store.claim("main", "a", now, 2)]
        == [one.id for one in first]
        == [one.id for one in deliveries[:2]]
    )
    assert [one.id for one in store.claim("main", "b", now, 2)] == [deliveries[2].id]
    assert store.claim("main", "c", now, 2) == []


def test_only_its_claim_says_what_became_of_a_comment(context, clock):
    (delivery,) = started(context, "one")
    store = context.store.comments
    (late,) = store.claim("main", "a", clock(), 1)
    again = comments.CommentOutcome(late, CommentState.WAITING, "not_sent", clock())
    store.note([again], clock())
    store.claim("main", "b", clock(), 1)

    store.note([again, comments.CommentOutcome(late, CommentState.SENT)], clock())

    assert comment_of(context, delivery) == (CommentState.MISSING, "comment_unknown")
    assert store.waiting(["main"], clock()) == {}


def test_a_comment_names_what_was_made_for_the_start(context, said):
    call = Call(
        "main", 1, (*LEAD[:2], later("LEAD_", Placeholder("lead"))), {}, Comment(later("lead ", Placeholder("lead")))
    )
    delivery = planned(context.record, make("lead", "lead"), call=call)
    work_off(context)
    Sender(context).work()

    number = context.record.delivery(delivery.id).results[0].value
    assert [(line.document, line.text) for line in said] == [(f"LEAD_{number}", f"lead {number}")]


def test_a_comment_of_nothing_is_none(context, said):
    call = Call("main", 1, LEAD, {}, Comment(later(Placeholder("client"))))
    step = replace(make("client", "contact"), unless=None)
    delivery = planned(
        context.record, replace(step, kind=step.kind.FIND, values={"email": "nobody@example.com"}), call=call
    )
    work_off(context)
    Sender(context).work()

    found = context.record.delivery(delivery.id)
    assert (found.state, found.comment, said) == (State.STARTED, None, [])


def test_an_uncertain_start_is_commented_once_it_is_known(open_context, portal, clock, said):
    context = open_context(own_id="off")
    delivery = add_commented(context)
    portal.add_faults([{"kind": "drop_after_start", "method": START}])
    assert send(context, delivery).state is State.UNCERTAIN
    Sender(context).work()
    assert said == []

    clock.advance(3600)
    context.gate.resume(clock())
    assert look_into(context, delivery).state is State.STARTED
    send(context, add(context.record, lead=2))
    Sender(context).work()
    assert len(said) == 1


def test_a_replay_is_a_start_of_its_own_and_has_its_own_comment(context, said):
    (old,) = started(context, "one")
    Sender(context).work()
    Replayer(context.record, {}, RuleBook((), ""), None).replay(old.id, current_rules=False)
    context.clock.advance(60)
    work_off(context)
    Sender(context).work()

    assert texts(said) == ["one", "one"]


def test_what_was_packed_meanwhile_is_said_all_the_same(context, said, clock):
    (delivery,) = started(context, "one")
    Compaction(context.record.redis).pack([keys.DELIVERY + delivery.id])
    assert context.record.redis.hexists(keys.DELIVERY + delivery.id, "z")

    Sender(context).work()

    assert (texts(said), comment_of(context, delivery)) == (["one"], (CommentState.SENT, ""))


def test_nothing_is_said_of_what_was_forgotten(context, said):
    (delivery,) = started(context, "one")
    assert context.record.prune(delivery.event_id)
    Sender(context).work()

    assert said == []
    assert not context.record.redis.exists(keys.COMMENTS + "main")
