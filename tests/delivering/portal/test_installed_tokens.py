"""Tokens of several administrators are kept, refreshed once for all workers, and one stands in for another."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from relay.core.errors import RecordUnavailableError
from relay.core.lifecycle import State
from relay.sandbox.portal import Portal as Pretend
from relay.sandbox.server import SandboxServer
from relay.store.portals.applications import Applications, InstallationState, OpeningState
from relay.store.portals.gate import GateState
from relay.store.redis import keys
from tests.delivering.contexts import add, methods, send, work_off
from tests.delivering.installed import Pretended, open_page, ordered
from workers.checks import questions
from workers.portal import client as client_module
from workers.portal import gatekeeper
from workers.portal.installed import Installed, Pair

ADA, EVA = "1", "5"


@pytest.fixture
def app(sandbox):
    return Pretended.add(sandbox.url)


@pytest.fixture
def context(open_context, app):
    """A portal by application, which two administrators have opened: Eva last, so hers is tried first."""
    first = open_context(address=app.address())
    for user in (ADA, EVA):
        first.clock.now += timedelta(seconds=1)
        assert open_page(first, app.frame(user=int(user))).state is OpeningState.SHOWN
    return open_context(address=app.address())


@pytest.fixture
def other(open_context, app):
    """A worker on another host."""
    return open_context(address=app.address(), own=True)


def expire(app, user=None):
    order = {"client_id": app.keys["client_id"]} | ({} if user is None else {"user": int(user)})
    ordered(app.url, "application/expire", order)


def refreshes(app, portal):
    return portal.applications.find(app.keys["client_id"]).counts["refreshes"]


def forget_refresh_tokens(portal, user):
    """The old refresh token of an administrator is dead, as after an answer that was lost."""
    for token, grant in portal.tokens._grants.items():
        if grant.user_id == int(user) and token in portal.tokens._refresh:
            portal.tokens._refresh[token] = 0.0


def change(portal, **settings):
    portal.settings = portal.settings.changed(settings)


def admins(context):
    return {one.user_id: one.trouble for one in context.store.applications.installation("main").admins}


def user_in_use(context):
    return context.client._user_id


def test_the_newest_administrator_s_tokens_are_used_and_the_others_kept(context, record):
    assert send(context, add(record)).state is State.STARTED
    assert user_in_use(context) == EVA
    assert admins(context) == {EVA: "", ADA: ""}


def test_an_expired_token_is_refreshed_once_for_ten_workers(context, app, open_context, record, portal):
    expire(app)
    workers = [open_context(address=app.address(), own=True) for _ in range(10)]
    deliveries = [add(record, lead=n) for n in range(1, 11)]
    barrier = threading.Barrier(10)

    def work(one, delivery):
        barrier.wait()
        send(one, delivery)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(workers, deliveries, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert refreshes(app, portal) == 1
    assert {one.state for one in record.deliveries(one.id for one in deliveries)} == {State.STARTED}


def test_a_new_pair_is_on_record_before_it_is_used(context, app, record, portal, monkeypatch):
    expire(app)
    used, real = [], portal.tokens.is_fresh

    def is_fresh(token):
        kept = Installed(context.kept, Applications(record.redis), context.address.local)
        used.append(token in {pair.tokens.access for pair in kept.pairs()})
        return real(token)

    monkeypatch.setattr(portal.tokens, "is_fresh", is_fresh)
    assert send(context, add(record)).state is State.STARTED
    assert used
    assert all(used)


def test_a_pair_that_cannot_be_kept_is_not_used(context, app, record, portal, monkeypatch):
    send(context, add(record))
    expire(app)
    monkeypatch.setattr("workers.portal.tokens.SAVED_WITHIN_S", 0.0)

    def refuse(*_):
        raise RecordUnavailableError("NotReplicatedError")

    monkeypatch.setattr(Applications, "keep_pair", refuse)
    with pytest.raises(RecordUnavailableError):
        context.client.call("scope", {})

    assert refreshes(app, portal) == 1
    assert methods(portal)["scope"] == 1


def test_a_start_is_known_though_the_record_cannot_note_that_a_pair_works_again(
    context, open_context, app, portal, monkeypatch
):
    for user in (ADA, EVA):
        context.installed.note(user, "invalid_grant")

    def refuse(*_):
        raise RecordUnavailableError("ConnectionError")

    monkeypatch.setattr(Applications, "note_trouble", refuse)
    answer = open_context(address=app.address()).client.call(
        "bizproc.workflow.start", {"TEMPLATE_ID": 1, "DOCUMENT_ID": ["crm", "CCrmDocumentLead", "LEAD_1"]}
    )

    assert answer.result == portal.started()[0]["id"]


def test_a_lost_refresh_is_made_good_by_the_other_administrator(context, app, record, portal):
    expire(app)
    forget_refresh_tokens(portal, EVA)

    delivery = send(context, add(record))

    assert (delivery.state, len(delivery.attempts)) == (State.STARTED, 1)
    assert user_in_use(context) == ADA
    assert admins(context) == {EVA: "invalid_grant", ADA: ""}
    assert context.gate.look().is_open


def test_a_dismissed_administrator_is_replaced_by_the_other(context, record, portal):
    change(portal, dismissed=[int(EVA)])

    delivery = send(context, add(record))

    assert (delivery.state, len(delivery.attempts)) == (State.STARTED, 1)
    assert admins(context) == {EVA: "authorization_error", ADA: ""}


def test_a_demoted_administrator_is_replaced_by_the_other(context, record, portal):
    change(portal, administrators=[int(ADA)])

    assert send(context, add(record)).state is State.STARTED
    assert admins(context) == {EVA: "no_administrator", ADA: ""}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"dismissed": [1, 5]}, "authorization_error"),
        ({"administrators": [2]}, "no_administrator"),
        ({"rest_available": False}, "access_denied"),
    ],
)
def test_what_ends_the_tokens_of_all_closes_the_gate_and_opens_it_when_it_is_mended(
    context, record, portal, settings, reason
):
    before = portal.settings
    change(portal, **settings)
    delivery = send(context, add(record))

    assert (delivery.state, delivery.attempts) == (State.PENDING, ())
    gate = context.gate.look()
    assert (gate.state, gate.reason) == (GateState.HELD, reason)
    assert gate.advice
    assert context.store.applications.installation("main").state is InstallationState.CLOSED

    portal.settings = before
    context.clock.now = gate.until
    assert gatekeeper.ask(context)
    work_off(context)
    assert record.delivery(delivery.id).state is State.STARTED
    assert context.store.applications.installation("main").state is InstallationState.CONNECTED
    assert user_in_use(context) in {ADA, EVA}
    assert "" in admins(context).values()


def test_an_application_that_was_removed_closes_the_gate_and_installing_it_anew_opens_it(
    context, app, open_context, record
):
    ordered(app.url, "application/uninstall", {"client_id": app.keys["client_id"]})
    delivery = send(context, add(record))

    assert delivery.state is State.PENDING
    assert context.gate.look().reason == "application_not_found"
    assert "Install it again" in context.gate.look().advice

    anew = Pretended.add(app.url)
    assert anew.keys["client_id"] != app.keys["client_id"]
    again = open_context(address=anew.address())
    assert open_page(again, anew.frame()).state is OpeningState.SHOWN
    work_off(again)
    assert record.delivery(delivery.id).state is State.STARTED
    assert admins(again) == {ADA: ""}


def test_a_removal_that_was_only_said_to_have_been_is_read_back_and_changes_nothing(context):
    asked = context.store.questions.ask("main", questions.Asked.APPLICATION, "", context.clock())
    questions.answer(context, asked.id)

    assert context.store.questions.read(asked.id).state is questions.QuestionState.DONE
    assert context.gate.look().is_open
    assert admins(context) == {EVA: "", ADA: ""}


def test_a_removal_that_is_true_closes_the_gate_before_a_delivery_finds_out(context, app, sandbox):
    ordered(sandbox.url, "application/uninstall", {"client_id": app.keys["client_id"]})
    asked = context.store.questions.ask("main", questions.Asked.APPLICATION, "", context.clock())
    questions.answer(context, asked.id)

    assert context.store.questions.read(asked.id).state is questions.QuestionState.FAILED
    assert context.gate.look().state is GateState.HELD
    assert context.store.applications.pairs("main"), "nothing is thrown away for a hint"


def test_an_opening_mends_dead_tokens_for_workers_that_run(context, app, other, record, portal):
    expire(app)
    for user in (ADA, EVA):
        forget_refresh_tokens(portal, user)
    delivery = send(other, add(record))
    assert delivery.state is State.PENDING
    assert other.gate.look().reason == "invalid_grant"

    open_page(context, app.frame(user=int(ADA)))

    assert context.gate.look().is_open
    work_off(other)
    assert record.delivery(delivery.id).state is State.STARTED
    assert admins(context)[ADA] == ""


def test_a_wrong_client_secret_is_said_and_no_administrator_is_blamed(context, app, open_context, record):
    expire(app)
    address = app.address()
    wrong = replace(address, local=replace(address.local, client_secret="wrong"))

    assert send(open_context(address=wrong), add(record)).state is State.PENDING
    assert context.gate.look().reason == "invalid_client"
    assert admins(context) == {EVA: "", ADA: ""}


def test_while_the_authorisation_server_is_away_the_gate_backs_off_and_no_pair_is_lost(context, app, record, portal):
    expire(app)
    change(portal, oauth_available=False)
    delivery = send(context, add(record))
    assert delivery.state is State.RETRYING

    change(portal, oauth_available=True)
    context.clock.now = max(delivery.next_attempt_at, context.gate.look().until)
    work_off(context)
    assert record.delivery(delivery.id).state is State.STARTED


def test_a_renamed_portal_keeps_its_identity_and_is_followed(context, app, record, portal, monkeypatch):
    monkeypatch.setattr(client_module, "may_inherit", lambda *_: True)
    with SandboxServer(portal=Pretend({"rate": None}, clock=portal.clock)) as elsewhere:
        elsewhere.portal.applications, elsewhere.portal.tokens = portal.applications, portal.tokens
        location = f"{elsewhere.url}/rest/bizproc.workflow.start"
        portal.add_faults({"kind": "redirect", "location": location, "times": 100})

        assert send(context, add(record)).state is State.STARTED
        assert len(elsewhere.portal.started()) == 1
        assert context.store.applications.installation("main").member_id == app.keys["member_id"]


def test_an_opening_under_the_new_name_changes_the_domain_and_keeps_the_identity(context, app, other, record, portal):
    before = context.store.applications.installation("main")
    new = portal.domain.replace("127.0.0.1", "localhost")
    change(portal, domain=new)

    assert open_page(context, app.frame()).state is OpeningState.SHOWN

    found = context.store.applications.installation("main")
    assert (found.domain, found.endpoint) == (new, f"http://{new}/rest/")
    assert (found.member_id, found.at) == (before.member_id, before.at)
    assert set(admins(context)) == {ADA, EVA}
    assert send(other, add(record)).state is State.STARTED


def test_tokens_that_were_forgotten_meanwhile_are_not_refreshed_nor_kept_again(context, app, portal):
    assert context.client.call("scope", {}).result
    context.store.applications.forget("main")
    expire(app)

    assert context.client.call("scope", {}).code == "expired_token"
    assert context.client.call("scope", {}).code == "NOT_CONNECTED"
    assert refreshes(app, portal) == 0
    assert context.store.applications.pairs("main") == {}


def test_a_dismissed_administrator_whose_token_has_expired_is_asked_once_and_passed_over(context, app, record, portal):
    change(portal, dismissed=[int(EVA)])
    expire(app, EVA)

    assert send(context, add(record)).state is State.STARTED
    # With the old token, with the refreshed one, and as the other administrator.
    assert methods(portal)["bizproc.workflow.start"] == 3


def test_a_box_of_another_portal_administrator_or_key_is_no_pair(context, app, record):
    installed = context.installed
    box = context.store.applications.pairs("main")[ADA].decode()
    context.store.applications.keep_pair("main", EVA, box)
    assert [pair.user_id for pair in installed.pairs()] == [ADA]

    context.store.applications.keep_pair("main", EVA, "bm8gYm94")
    context.store.applications.keep_pair("main", ADA, "no base64")
    assert installed.pairs() == []


def test_no_token_and_no_secret_is_readable_on_record_or_shown(context, app, record, capfd, caplog):
    expire(app)
    send(context, add(record))
    tokens = [text for pair in context.installed.pairs() for text in (pair.tokens.access, pair.tokens.refresh)]
    secrets = [*tokens, app.keys["client_secret"], context.address.local.seal_key]

    dumped = b"".join(b"".join([key, *(_everything(record.redis, key))]) for key in record.redis.keys("*"))
    shown = f"{context!r}{context.installed.pairs()!r}{caplog.text}{''.join(capfd.readouterr())}"
    assert len(tokens) == 4
    assert not [secret for secret in secrets if secret.encode() in dumped or secret in shown]
    assert f"{keys.TOKENS_OF}main".encode() in dumped


def _everything(redis, key):
    kind = redis.type(key)
    if kind == b"hash":
        return [part for pair in redis.hgetall(key).items() for part in pair]
    if kind == b"string":
        return [redis.get(key)]
    return [redis.dump(key)]


def test_a_pair_that_only_stands_in_for_another_is_refreshed_before_it_dies(context, app, portal):
    before = {pair.user_id: pair.tokens.refresh for pair in context.installed.pairs()}

    context.installed.keep_alive(context.clock() + timedelta(days=59))
    assert refreshes(app, portal) == 0
    context.installed.keep_alive(context.clock() + timedelta(days=61))

    assert refreshes(app, portal) == 2
    after = {pair.user_id: pair.tokens.refresh for pair in context.installed.pairs()}
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())


def test_only_so_many_administrators_are_kept_and_the_oldest_goes(context):
    for number in range(20, 32):
        context.clock.now += timedelta(seconds=1)
        pair = Pair(str(number), context.installed.pairs()[0].tokens)
        context.installed.keep_administrator(f"Admin {number}", pair, context.clock())

    kept = context.store.applications.pairs("main")
    assert sorted(kept) == [str(number) for number in range(22, 32)]
    assert sorted(admins(context)) == sorted(kept)
