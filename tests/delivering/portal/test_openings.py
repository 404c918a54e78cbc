"""The authorisation server and the portal say who opens the application; what is posted proves nothing."""

from __future__ import annotations

import json

import pytest

from relay.core.lifecycle import State
from relay.sandbox.server import SandboxServer
from relay.store.portals.applications import InstallationState, OpeningState
from relay.store.portals.gate import GateState
from relay.store.redis import keys
from tests.delivering.contexts import add, methods, send, use_webhook, work_off
from tests.delivering.installed import SEALER, Pretended, open_page, ordered, post
from workers.delivery import worker
from workers.portal import gatekeeper

DEAL_TAB = "CRM_DEAL_DETAIL_TAB"
CARDS = ("lead", "deal", "contact", "quote", "invoice", "dynamic:147")
DEAL = ("crm", "CCrmDocumentDeal", "DEAL_12")


@pytest.fixture
def app(sandbox):
    return Pretended.add(sandbox.url)


@pytest.fixture
def context(open_context, app):
    """A portal by application, which nobody has opened yet."""
    return open_context(address=app.address(card=CARDS, menu=True))


@pytest.fixture
def connected(context, app):
    """The same, opened by the administrator."""
    assert open_page(context, app.frame()).state is OpeningState.SHOWN
    return context


def installation(context):
    return context.store.applications.installation("main")


def change(portal, **settings):
    portal.settings = portal.settings.changed(settings)


def refused(opening):
    assert opening.state is OpeningState.REFUSED
    assert opening.document is None
    return opening.reason.code


def nothing_kept(context):
    redis = context.record.redis
    return [
        prefix
        for prefix in (keys.TOKENS_OF, keys.TOKENS_SENT, keys.APPLICATION, keys.ADMINISTRATORS)
        if redis.keys(f"{prefix}*")
    ] == []


def test_a_portal_that_nobody_has_connected_waits_behind_a_gate_that_says_so(context, record):
    gatekeeper.begin(context)
    delivery = add(record)
    work_off(context)

    assert record.delivery(delivery.id).state is State.PENDING
    gate = context.gate.look()
    assert (gate.state, gate.reason) == (GateState.HELD, "not_connected")
    assert "Connect" in gate.advice


def test_a_delivery_that_comes_before_the_portal_is_connected_spends_no_attempt(context, record, portal):
    delivery = send(context, add(record))

    assert (delivery.state, delivery.attempts) == (State.PENDING, ())
    assert context.gate.look().reason == "not_connected"
    assert methods(portal) == {}


def test_the_first_opening_by_an_administrator_connects_the_portal_and_what_waits_goes_on(context, app, record, portal):
    gatekeeper.begin(context)
    delivery = add(record)
    opening = open_page(context, app.frame())

    assert (opening.state, opening.user_id, opening.user_name, opening.is_admin) == (
        OpeningState.SHOWN,
        "1",
        "Ada Admin",
        True,
    )
    found = installation(context)
    assert (found.state, found.member_id) == (InstallationState.CONNECTED, app.keys["member_id"])
    assert found.domain == portal.domain
    assert [(one.user_id, one.name) for one in found.admins] == [("1", "Ada Admin")]
    assert context.gate.look().is_open
    work_off(context)
    assert record.delivery(delivery.id).state is State.STARTED


def test_another_process_that_began_before_the_portal_was_connected_calls_without_a_restart(
    context, app, open_context, record
):
    other = open_context(address=app.address(), own=True)
    gatekeeper.begin(other)
    delivery = send(other, add(record))
    assert delivery.state is State.PENDING

    open_page(context, app.frame())
    work_off(other)

    assert record.delivery(delivery.id).state is State.STARTED


def test_a_card_is_shown_to_a_user_who_may_read_its_document(connected, app):
    opening = open_page(connected, app.frame(user=2, placement=DEAL_TAB, id=12))

    assert (opening.state, opening.document, opening.placement) == (OpeningState.SHOWN, DEAL, DEAL_TAB)
    assert (opening.user_id, opening.is_admin) == ("2", False)


@pytest.mark.parametrize(
    ("placement", "document"),
    [
        ("CRM_LEAD_DETAIL_TAB", ("crm", "CCrmDocumentLead", "LEAD_12")),
        ("CRM_CONTACT_DETAIL_TAB", ("crm", "CCrmDocumentContact", "CONTACT_12")),
        ("CRM_QUOTE_DETAIL_TAB", ("crm", r"Bitrix\Crm\Integration\BizProc\Document\Quote", "QUOTE_12")),
        (
            "CRM_SMART_INVOICE_DETAIL_TAB",
            ("crm", r"Bitrix\Crm\Integration\BizProc\Document\SmartInvoice", "SMART_INVOICE_12"),
        ),
        (
            "CRM_DYNAMIC_147_DETAIL_TAB",
            ("crm", r"Bitrix\Crm\Integration\BizProc\Document\Dynamic", "DYNAMIC_147_12"),
        ),
    ],
)
def test_the_kind_of_a_card_is_that_of_its_code(connected, app, placement, document):
    assert open_page(connected, app.frame(placement=placement, id=12)).document == document


def test_the_menu_and_the_application_itself_are_pages_without_a_document(connected, app):
    for placement in ("LEFT_MENU", "DEFAULT"):
        opening = open_page(connected, app.frame(user=2) | {"PLACEMENT": placement})
        assert (opening.state, opening.document) == (OpeningState.SHOWN, None)


def test_the_document_of_a_user_who_may_not_read_it_is_not_shown(connected, app):
    opening = open_page(connected, app.frame(user=3, placement=DEAL_TAB, id=12))

    assert refused(opening) == "opening_document_denied"


def test_another_documents_id_in_the_options_is_read_with_the_users_own_rights(connected, app, sandbox):
    own = app.frame(user=3, placement=DEAL_TAB, id=12)

    opening = open_page(connected, own | {"PLACEMENT_OPTIONS": json.dumps({"ID": "404"})})

    assert refused(opening) == "opening_document_denied"


@pytest.mark.parametrize(
    "options", [None, "", "[]", "undefined", "{}", '{"ID":""}', '{"ID":"-1"}', '{"ID":[1]}', "[" * 5000]
)
def test_a_card_that_does_not_say_its_document_is_a_page_that_explains(connected, app, options):
    fields = app.frame(placement=DEAL_TAB, id=12)
    fields = {name: text for name, text in fields.items() if name != "PLACEMENT_OPTIONS"}
    fields |= {} if options is None else {"PLACEMENT_OPTIONS": options}

    assert refused(open_page(connected, fields)) == "opening_document_missing"


@pytest.mark.parametrize("options", ['{"ID":12}', '{"ENTITY_ID":"12"}', '{"ID":"12","URI":"/x"}'])
def test_the_id_of_a_card_comes_in_several_shapes(connected, app, options):
    fields = app.frame(placement=DEAL_TAB, id=12) | {"PLACEMENT_OPTIONS": options}

    assert open_page(connected, fields).document == DEAL


@pytest.mark.parametrize("placement", ["CRM_DEAL_LIST_MENU", "CRM_FEED_DETAIL_TAB", "CRM_USER_DETAIL_TAB", "x" * 500])
def test_an_unknown_placement_is_refused_before_the_portal_is_asked(connected, app, portal, placement):
    before = methods(portal)

    assert refused(open_page(connected, app.frame() | {"PLACEMENT": placement})) == "opening_placement_unknown"
    assert methods(portal) == before


# Who is not who they say.


def test_a_user_who_is_no_administrator_connects_nothing(context, app):
    assert refused(open_page(context, app.frame(user=2))) == "opening_needs_administrator"
    assert nothing_kept(context)


def test_a_token_of_another_application_is_refused(context, app, sandbox):
    other = Pretended.add(sandbox.url)

    assert refused(open_page(context, other.frame())) == "opening_of_other_application"
    assert nothing_kept(context)


@pytest.mark.parametrize("token", ["", "0" * 70, "no-token", "x" * 5000, "line\nbreak"])
def test_a_token_that_is_none_is_refused(context, app, portal, token):
    assert refused(open_page(context, app.frame() | {"AUTH_ID": token})) == "opening_token_refused"
    assert methods(portal) == {}


def test_a_token_that_has_expired_is_refused(context, app, sandbox):
    fields = app.frame()
    ordered(sandbox.url, "application/expire", {"client_id": app.keys["client_id"]})

    assert refused(open_page(context, fields)) == "opening_token_refused"


@pytest.mark.parametrize(
    "changes", [{"member_id": "0" * 32}, {"member_id": ""}, {"DOMAIN": "evil.example"}, {"DOMAIN": "127.0.0.1:1"}]
)
def test_a_token_of_another_portal_than_the_frame_says_is_refused(context, app, changes):
    assert refused(open_page(context, app.frame() | changes)) == "opening_of_other_portal"
    assert nothing_kept(context)


def test_no_address_that_was_posted_is_called(context, app):
    with SandboxServer() as stranger:
        posted = {"SERVER_ENDPOINT": f"{stranger.url}/oauth/rest/", "PROTOCOL": "0"}
        assert open_page(context, app.frame() | posted).state is OpeningState.SHOWN
        assert refused(open_page(context, app.frame() | {"DOMAIN": stranger.url.removeprefix("http://")}))

        assert methods(stranger.portal) == {}
        assert installation(context).endpoint.startswith(app.url)


def test_a_box_that_does_not_open_is_refused_in_words(context):
    arrive = context.store.applications.arrive
    ids = [arrive("main", box, "en", context.clock()) for box in (b"no box", SEALER.seal(b"[]"), SEALER.seal(b"\xff"))]

    for _ in ids:
        worker.step(context)
    for opening_id in ids:
        assert refused(context.store.applications.opening(opening_id)) == "opening_unreadable"


def test_while_the_authorisation_server_is_away_nobody_is_believed(context, app, portal):
    fields = app.frame()
    change(portal, oauth_available=False)

    assert refused(open_page(context, fields)) == "opening_server_away"
    assert nothing_kept(context)


def test_openings_of_strangers_do_not_keep_deliveries_waiting(connected, record):
    deliveries = [add(record, lead=number) for number in (1, 2, 3)]
    for _ in range(20):
        post(connected, {"AUTH_ID": "no-token"})

    for _ in range(4):
        worker.step(connected)

    assert {one.state for one in record.deliveries(one.id for one in deliveries)} == {State.STARTED}
    assert connected.survey().openings > 10


def test_an_opening_is_answered_behind_a_closed_gate(connected, app):
    connected.gate.pause_by_person(connected.clock())
    opening_id = post(connected, app.frame(user=2))

    worker.step(connected)

    assert connected.store.applications.opening(opening_id).state is OpeningState.SHOWN
    assert not connected.gate.look().is_open


# An unexpected portal.


def test_an_installation_on_an_unexpected_portal_waits_for_an_operator_and_no_token_is_kept(open_context, app, portal):
    context = open_context(address=app.address(expect="acme.bitrix24.com"))

    opening = open_page(context, app.frame())

    assert refused(opening) == "opening_waits"
    assert portal.domain in opening.reason
    found = installation(context)
    assert (found.state, found.domain, found.admins[0].name) == (InstallationState.WAITING, portal.domain, "Ada Admin")
    assert context.store.applications.pairs("main") == {}
    assert context.client.call("scope", {}).code == "NOT_CONNECTED"
    open_page(context, app.frame())
    assert [entry[1][b"kind"] for entry in context.record.redis.xrange(keys.ALERTS)] == [b"application_waits"]


def test_an_accepted_installation_is_connected_by_the_next_opening(open_context, app):
    context = open_context(address=app.address(expect="acme.bitrix24.com"))
    open_page(context, app.frame())

    assert context.store.applications.accept("main", app.keys["member_id"], "an operator", context.clock())
    assert open_page(context, app.frame()).state is OpeningState.SHOWN
    assert installation(context).state is InstallationState.CONNECTED


def test_a_refused_installation_stays_refused(open_context, app):
    context = open_context(address=app.address(expect="acme.bitrix24.com"))
    open_page(context, app.frame())
    context.store.applications.refuse("main", app.keys["member_id"], "an operator", context.clock())

    assert refused(open_page(context, app.frame())) == "opening_portal_refused"
    assert nothing_kept(context)


def test_another_portal_takes_the_place_of_the_bound_one_only_by_an_operator(connected, app, sandbox, portal):
    first = app.keys["member_id"]
    change(portal, member_id="b" * 32)

    assert refused(open_page(connected, app.frame())) == "opening_waits"
    assert installation(connected).member_id == first
    assert connected.store.applications.waiting("main").member_id == "b" * 32

    connected.store.applications.accept("main", "b" * 32, "an operator", connected.clock())
    assert open_page(connected, app.frame()).state is OpeningState.SHOWN
    assert installation(connected).member_id == "b" * 32


# Beside a webhook.


def test_beside_a_webhook_the_webhook_calls_and_the_application_shows(open_context, app, record, portal, sandbox):
    webhook = use_webhook(sandbox.url).base_url
    context = open_context(address=app.address(webhook=webhook))

    assert send(context, add(record)).state is State.STARTED
    assert open_page(context, app.frame()).state is OpeningState.SHOWN
    assert context.gate.look().is_open
    assert context.application.call("scope", {}).result
