"""Tabs in cards and the page in the menu are bound as portals.yaml says, and unbound when it no longer does."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from relay.store.portals.applications import InstallationState
from tests.delivering.contexts import methods, use_webhook
from tests.delivering.installed import HANDLER, Pretended, open_page, ordered
from workers.bitrix24 import placements
from workers.checks.ping import check_up
from workers.portal import placing

DEAL, LEAD, MENU = "CRM_DEAL_DETAIL_TAB", "CRM_LEAD_DETAIL_TAB", "LEFT_MENU"


@pytest.fixture
def app(sandbox):
    return Pretended.add(sandbox.url)


@pytest.fixture
def context(open_context, app):
    """A connected portal whose file wants a tab in deals and leads, and the menu."""
    made = open_context(address=app.address(card=("deal", "lead"), menu=True))
    open_page(made, app.frame())
    return made


def bound(app, portal):
    return sorted((one.code, one.handler) for one in portal.applications.find(app.keys["client_id"]).placements)


def shown(context):
    return context.store.applications.installation("main").placements


def kinds_of(context):
    return [one.kind for one in check_up(context).found]


def test_the_first_opening_binds_what_the_file_says(context, app, portal):
    assert bound(app, portal) == [(DEAL, HANDLER), (LEAD, HANDLER), (MENU, HANDLER)]
    assert shown(context) == ("deal", "lead", "menu")


def test_the_tabs_have_a_title_in_each_language(context, app, portal):
    titles = {one.code: one.titles for one in portal.applications.find(app.keys["client_id"]).placements}

    assert titles[DEAL]["ru"]["TITLE"] == "Что пришло"
    assert titles[MENU]["en"]["TITLE"] == "What arrives"


def test_what_is_bound_stays_and_is_not_bound_again(context, portal):
    before = methods(portal)["placement.bind"]

    placing.keep_in_step(context)

    assert methods(portal)["placement.bind"] == before


def test_a_change_of_the_file_binds_what_is_new_and_unbinds_what_is_gone(context, app, open_context, portal):
    changed = open_context(address=app.address(card=("contact", "lead")))

    placing.keep_in_step(changed)

    assert bound(app, portal) == [("CRM_CONTACT_DETAIL_TAB", HANDLER), (LEAD, HANDLER)]
    assert shown(changed) == ("contact", "lead")


def test_another_public_address_takes_the_place_of_the_former_one(context, app, open_context, portal):
    address = app.address(card=("deal",))
    moved = replace(address, local=replace(address.local, handler="https://new.example.com/app/main"))

    placing.keep_in_step(open_context(address=moved))

    assert bound(app, portal) == [(DEAL, "https://new.example.com/app/main")]


def test_a_handler_that_is_not_ours_is_left_alone(context, app, portal):
    theirs = ("CRM_COMPANY_DETAIL_TAB", "https://other.example.com/page")
    context.application.call("placement.bind", {"PLACEMENT": theirs[0], "HANDLER": theirs[1]})

    placing.keep_in_step(context)

    assert theirs in bound(app, portal)


def test_a_kind_that_the_portal_does_not_know_leaves_the_others_bound_and_ping_names_it(app, open_context, portal):
    context = open_context(address=app.address(card=("deal", "dynamic:999")))
    open_page(context, app.frame())

    assert shown(context) == ("deal",)
    found = {one.kind: one for one in check_up(context).found}
    assert found["not_shown"].values["places"] == ["dynamic:999"]
    assert found["shown"].values["places"] == ["deal"]
    assert "dynamic:999" in found["not_shown"].words


def test_ping_says_that_one_administrator_is_too_few(context, app):
    assert "one_administrator" in kinds_of(context)

    open_page(context, app.frame(user=5))

    assert "one_administrator" not in kinds_of(context)
    assert str(next(one for one in check_up(context).found if one.kind == "administrators")).endswith(
        "2 administrators"
    )


def test_ping_says_that_beside_a_webhook_the_application_has_the_pages_only(app, open_context, sandbox):
    context = open_context(address=app.address(webhook=use_webhook(sandbox.url).base_url))

    assert kinds_of(context)[:3] == ["accepted", "webhook_calls", "application_not_connected"]
    open_page(context, app.frame())
    assert kinds_of(context)[1:3] == ["webhook_calls", "administrators"]


def test_ping_of_a_portal_that_is_not_connected_says_so(app, open_context):
    found = check_up(open_context(address=app.address(card=("deal",)))).found

    assert [one.kind for one in found] == ["trouble"]
    assert "Connect" in found[0].words


def test_without_a_public_address_nothing_is_bound_and_ping_says_why(app, open_context, portal):
    address = app.address(card=("deal",))
    context = open_context(address=replace(address, local=replace(address.local, handler="")))
    open_page(context, app.frame())

    assert bound(app, portal) == []
    assert "no_handler" in kinds_of(context)


def test_two_workers_at_once_bind_each_place_once(context, app, open_context, portal):
    contexts = [open_context(address=app.address(card=("company", "quote")), own=True) for _ in range(4)]
    threads = [threading.Thread(target=placing.keep_in_step, args=(one,)) for one in contexts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert bound(app, portal) == [("CRM_COMPANY_DETAIL_TAB", HANDLER), ("CRM_QUOTE_DETAIL_TAB", HANDLER)]


def test_an_application_that_leaves_the_file_is_shown_nowhere_and_its_tokens_are_forgotten(context, app, portal):
    placing.take_away(context)

    assert bound(app, portal) == []
    assert context.store.applications.installation("main") is None
    assert context.store.applications.pairs("main") == {}


def test_nothing_is_bound_before_an_administrator_has_connected_the_portal(app, open_context, portal):
    placing.keep_in_step(open_context(address=app.address(card=("deal",))))

    assert methods(portal) == {}


def test_a_removed_application_beside_a_webhook_is_closed_and_the_gate_stays_open(app, open_context, sandbox):
    context = open_context(address=app.address(webhook=use_webhook(sandbox.url).base_url, card=("deal",)))
    open_page(context, app.frame())
    ordered(sandbox.url, "application/uninstall", {"client_id": app.keys["client_id"]})

    placing.keep_in_step(context)

    found = context.store.applications.installation("main")
    assert (found.state, found.reason) == (InstallationState.CLOSED, "application_not_found")
    assert context.gate.look().is_open


@pytest.mark.parametrize("kind", ["lead", "deal", "contact", "company", "quote", "invoice", "dynamic:147"])
def test_the_code_of_a_tab_leads_back_to_its_kind(kind):
    name, type_id = placements.kind_of(placements.tab_of(kind))

    assert kind in {name, f"{name}:{type_id}"}
