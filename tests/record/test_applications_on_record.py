"""Openings wait sealed for a worker, and only for one; an installation on an unexpected portal waits for a person."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from relay.configuration.sealing import Opener, Sealer, SealError, new_seal_key
from relay.core.errors import NotFoundError
from relay.core.faults import fault
from relay.queue.jobs import queue_key
from relay.store import Store
from relay.store.portals.applications import (
    LARGEST_BOX,
    MOST_WAITING,
    TAKEN,
    WAITS,
    Administrator,
    Installation,
    InstallationState,
    OpeningState,
    Word,
)
from relay.store.redis import keys
from tests.support.making import NOON

SECOND = timedelta(seconds=1)
DEAL = ("crm", "CCrmDocumentDeal", "DEAL_12")
ADA = Administrator("1", "Ada Admin", NOON)
BOUND = Installation(
    "local.1", "m" * 32, "acme.bitrix24.com", "https://acme.bitrix24.com/rest/", InstallationState.CONNECTED, NOON
)
WAITING = replace(
    BOUND, member_id="n" * 32, domain="other.bitrix24.com", state=InstallationState.WAITING, admins=(ADA,)
)


@pytest.fixture
def applications(redis):
    return Store(redis).applications


def arrive(applications, now=NOON, sealed=b"box"):
    return applications.arrive("main", sealed, "en", now)


def test_an_opening_notifies_a_worker_and_waits_with_its_box(applications, redis):
    opening_id = arrive(applications)

    assert len(opening_id) == 32
    assert redis.llen(queue_key("main")) == 1
    assert applications.opening(opening_id).state is OpeningState.ASKED
    assert applications.take("main", NOON) == (opening_id, b"box")


def test_an_opening_is_taken_by_one_worker_and_by_another_where_that_one_died(applications):
    opening_id = arrive(applications)

    assert applications.take("main", NOON) == (opening_id, b"box")
    assert applications.take("main", NOON + SECOND) is None
    assert applications.take("main", NOON + TAKEN) == (opening_id, b"box")


def test_the_clock_notifies_a_worker_of_an_opening_that_another_has_left(applications, record, redis):
    arrive(applications)
    applications.take("main", NOON)
    redis.delete(queue_key("main"))

    assert record.notify(["main"], NOON) == 0
    assert record.notify(["main"], NOON + TAKEN) == 1


def test_an_answer_is_kept_once_and_the_tokens_are_gone_with_it(applications, redis):
    opening_id = arrive(applications)
    asked = applications.opening(opening_id)
    shown = replace(asked, state=OpeningState.SHOWN, placement="CRM_DEAL_DETAIL_TAB", document=DEAL, user_id="7")

    assert applications.answer(replace(shown, user_name="Ünal", is_admin=True))
    assert not applications.answer(replace(asked, state=OpeningState.REFUSED, reason=fault("opening_unreadable")))

    found = applications.opening(opening_id)
    assert (found.state, found.document, found.user_name, found.is_admin) == (OpeningState.SHOWN, DEAL, "Ünal", True)
    assert not redis.keys(f"{keys.TOKENS_SENT}*")
    assert applications.take("main", NOON + TAKEN) is None


def test_the_reason_of_a_refusal_keeps_its_values(applications):
    opening_id = arrive(applications)
    reason = fault("opening_waits", domain="other.bitrix24.com")

    applications.answer(replace(applications.opening(opening_id), state=OpeningState.REFUSED, reason=reason))

    assert applications.opening(opening_id).reason == reason


def test_an_opening_ends_by_itself(applications, redis):
    opening_id = arrive(applications)
    kept = [keys.OPENING + opening_id, keys.TOKENS_SENT + opening_id, f"{keys.OPENINGS}main"]

    assert all(redis.pttl(key) > 0 for key in kept)
    redis.delete(*kept[:2])
    assert applications.take("main", NOON) is None
    assert redis.zcard(kept[2]) == 0
    with pytest.raises(NotFoundError):
        applications.opening(opening_id)


def test_a_portal_has_at_most_so_many_openings_and_old_ones_make_room(applications):
    assert all(arrive(applications) for _ in range(MOST_WAITING))

    assert arrive(applications) is None
    assert applications.arrive("second", b"box", "en", NOON)
    assert arrive(applications, NOON + WAITS + SECOND)


def test_a_box_that_no_frame_fills_is_not_kept(applications, redis):
    assert arrive(applications, sealed=b"x" * (LARGEST_BOX + 1)) is None
    assert redis.keys("*") == []


def test_a_page_token_is_used_up_once(applications):
    opening_id = arrive(applications)

    assert applications.turn(opening_id, 0)
    assert not applications.turn(opening_id, 0)
    assert applications.opening(opening_id).turn == 1
    assert applications.turn(opening_id, 1)
    assert not applications.turn("0" * 32, 0)


def test_an_installation_is_read_as_it_was_bound_with_its_administrators(applications):
    assert applications.installation("main") is None
    applications.bind("main", BOUND)
    applications.keep_administrator("main", ADA)
    applications.show_placements("main", ("deal", "menu"))

    found = applications.installation("main")
    assert found == replace(BOUND, admins=(ADA,), placements=("deal", "menu"))
    applications.close("main", "not_installed")
    assert applications.installation("main").state is InstallationState.CLOSED
    applications.open("main")
    assert applications.installation("main").reason == ""


def test_what_waits_is_seen_and_accepted_as_long_as_it_is_the_same(applications):
    applications.wait_for_operator("main", WAITING)

    assert applications.installation("main") == WAITING
    assert not applications.accept("main", BOUND.member_id, "an operator", NOON)
    assert applications.accept("main", WAITING.member_id, "an operator", NOON)
    assert applications.waiting("main").is_accepted
    assert applications.word("main", WAITING.member_id) is Word.ACCEPTED

    applications.bind("main", replace(WAITING, state=InstallationState.CONNECTED))
    assert applications.waiting("main") is None
    assert applications.installation("main").member_id == WAITING.member_id


def test_a_bound_installation_stays_while_another_waits_and_is_refused(applications):
    applications.bind("main", BOUND)
    applications.wait_for_operator("main", WAITING)

    assert applications.installation("main").member_id == BOUND.member_id
    assert applications.waiting("main").member_id == WAITING.member_id
    assert applications.refuse("main", WAITING.member_id, "an operator", NOON)
    assert applications.waiting("main") is None
    assert applications.word("main", WAITING.member_id) is Word.REFUSED


def test_tokens_of_another_installation_are_forgotten_and_those_of_the_same_stay(applications):
    applications.bind("main", BOUND)
    applications.keep_pair("main", "1", "kept")
    applications.keep_administrator("main", ADA)

    applications.bind("main", replace(BOUND, domain="renamed.bitrix24.com"))
    assert applications.pairs("main") == {"1": b"kept"}

    applications.bind("main", replace(BOUND, client_id="local.2"))
    assert applications.pairs("main") == {}
    assert applications.installation("main").admins == ()


def test_nothing_is_noted_of_an_installation_that_is_not_there(applications, redis):
    applications.close("main", "not_installed")
    applications.show_placements("main", ("menu",))

    assert redis.keys("*") == []


def test_only_the_workers_open_what_is_sealed_and_nothing_changed_opens():
    opener = Opener.from_text(new_seal_key())
    sealer = Sealer.from_text(opener.public_text)
    box = sealer.seal(b"content")

    assert opener.open(box) == b"content"
    assert sealer.seal(b"content") != box
    assert "content" not in repr(opener)
    others = (b"", b"short", box[:-1], bytes([box[0] ^ 1]) + box[1:], Sealer.from_text(_other()).seal(b"content"))
    for other in others:
        with pytest.raises(SealError):
            opener.open(other)


def _other():
    return Opener.from_text(new_seal_key()).public_text


@pytest.mark.parametrize("text", ["", "AAAA", "no base64 !", "A" * 43 + "=", "A" * 64])
def test_what_is_no_key_is_refused_without_its_text(text):
    with pytest.raises(SealError) as refused:
        Sealer.from_text(text)

    assert not text or text not in str(refused.value)
