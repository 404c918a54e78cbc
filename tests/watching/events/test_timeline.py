"""The page of an event as a timeline: bars, what stands behind it, where its document is, what replays it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from relay.core.events import Policy
from relay.core.lifecycle import State, Verdict
from relay.store import Store
from relay.store.portals.portal import PortalRecord
from relay.web.dashboard.event_page import MOST_CALLS, WIDTH, timeline_of
from relay.web.presenters.event_details import link_of_document
from tests.support.making import NOON, bring_to, claim_one, make_attempt, make_entry, write
from tests.watching.conftest import SAME

SECOND = timedelta(seconds=1)
DYNAMIC = r"Bitrix\Crm\Integration\BizProc\Document\Dynamic"


def lived(attempts, state=State.STARTED, updated_at=NOON):
    entry = make_entry()
    (made,) = entry.deliveries
    return entry.event, replace(made, attempts=tuple(attempts), state=state, updated_at=updated_at)


def tried(after_s, duration_ms=1000, verdict=Verdict.STARTED, **options):
    return replace(make_attempt(verdict), at=NOON + after_s * SECOND, duration_ms=duration_ms, **options)


def test_what_was_waited_and_what_was_called_share_one_scale():
    event, delivery = lived([tried(4, verdict=Verdict.THROTTLED), tried(8, 2000)], updated_at=NOON + 10 * SECOND)

    spans = timeline_of(event, delivery, NOON + 60 * SECOND)

    assert [(span.what, span.kind, span.lasts, span.x, span.width) for span in spans] == [
        ("waited for its turn", "waited", "4.0 s", 0, 400),
        ("start: throttled", "doubt", "1.0 s", 400, 100),
        ("waited", "waited", "3.0 s", 500, 300),
        ("start: started", "good", "2.0 s", 800, 200),
    ]


def test_what_is_not_over_goes_on_until_now():
    event, delivery = lived([], State.PENDING)

    (span,) = timeline_of(event, delivery, NOON + 30 * SECOND)

    assert (span.what, span.lasts, span.width) == ("waits for its turn", "30.0 s", WIDTH)


def test_a_step_is_named_and_a_bar_is_never_too_narrow_to_see_nor_outside():
    event, delivery = lived([tried(3600, 1, Verdict.REJECTED, step="lead")], State.DEAD, NOON + 3600 * SECOND)

    waited, step = timeline_of(event, delivery, NOON)

    assert (waited.lasts, step.what, step.kind) == ("60 min", "step lead: rejected", "bad")
    assert step.width > 0
    assert step.x + step.width <= WIDTH


def test_of_many_attempts_the_newest_are_drawn():
    event, delivery = lived([tried(number) for number in range(1, 200)], updated_at=NOON + 200 * SECOND)

    assert sum(span.kind != "waited" for span in timeline_of(event, delivery, NOON)) == MOST_CALLS


def test_what_was_cancelled_before_it_was_sent_has_its_wait():
    event, delivery = lived([], State.DEAD, NOON + SECOND)

    assert [span.what for span in timeline_of(event, delivery, NOON)] == ["waited, then dead"]


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (("crm", "CCrmDocumentLead", "LEAD_12"), "crm/lead/details/12/"),
        (("crm", "CCrmDocumentDeal", "DEAL_12"), "crm/deal/details/12/"),
        (("crm", DYNAMIC, "DYNAMIC_147_7"), "crm/type/147/details/7/"),
        (("crm", r"Bitrix\Crm\Integration\BizProc\Document\SmartInvoice", "SMART_INVOICE_7"), "crm/type/31/details/7/"),
        (("lists", "BizprocDocument", "7"), None),
        (("crm", "CCrmDocumentLead", "LEAD_{lead}"), None),
        (("own", "Thing", "LEAD_1"), None),
    ],
)
def test_a_document_is_linked_where_the_portal_has_a_page_for_it(document, path):
    found = link_of_document("https://x.bitrix24.com/", document)

    assert found == (f"https://x.bitrix24.com/{path}" if path else None)
    assert link_of_document(None, document) is None
    assert link_of_document("javascript:alert(1)//", document) is None


def page(client, delivery):
    answer = client.get(f"/events/{delivery.event_id}", headers=SAME)
    assert answer.status_code == 200
    return answer.text


def test_the_page_links_the_document_and_draws_the_bars(viewer, record, redis):
    PortalRecord(redis, "main").learn({"site": "https://x.bitrix24.com"})
    delivery = bring_to(record, State.STARTED)

    text = page(viewer, delivery)

    assert 'href="https://x.bitrix24.com/crm/lead/details/1/"' in text
    assert re.search(r'<rect class="waited" x="\d+" y="1" width="\d+"', text)
    assert 'data-copy="Copy the id of the event"' in text


def write_ordered(record):
    entry = make_entry()
    ordered = [replace(one, policy=Policy(is_ordered=True)) for one in entry.deliveries]
    write(record, replace(entry, deliveries=ordered))
    return ordered[0]


def test_an_uncertain_one_says_what_it_holds_back(viewer, record):
    first, second, third = (write_ordered(record) for _ in range(3))
    record.settle(claim_one(record, first), State.UNCERTAIN, NOON, reason="timed_out")

    text = page(viewer, first)

    assert "2 later deliveries of the same document wait until this one is decided" in text
    assert all(one.id in text for one in (second, third))
    assert "wait until this one" not in page(viewer, third)


def test_what_was_replayed_leads_to_its_replay_and_is_not_offered_again(operator, record):
    dead = bring_to(record, State.DEAD)
    operator.post(f"/deliveries/{dead.id}/acts/replay", headers=SAME)
    (fresh_id,) = Store(record.redis).record.replaced([dead.id]).values()

    text = page(operator, dead)

    assert f'Replayed by</dt><dd class="mono" translate="no"><a href="/deliveries/{fresh_id}">' in text
    assert f"/deliveries/{dead.id}/acts/replay" not in text
