"""Every answer of a portal, and every way to have none, leads to the state that its class says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from relay.core.lifecycle import State, Verdict
from relay.core.reasons import explain_attempt
from relay.sandbox.answers import CRM_ERRORS, KNOWN_ERRORS
from relay.store.portals.gate import GateState
from tests.delivering.contexts import add, alerts, send, use_webhook
from tests.delivering.wire import Wire, answering, respond
from tests.support.processes import refusing_address
from workers.bitrix24.client import Client
from workers.bitrix24.verdicts import STEP_TABLE, TABLE

TRANSIENT, OF_ONE, SLOWED, BUDGET, AMBIGUOUS, LOST = "T", "T-call", "C-rate", "C-budget", "A", "A-lost"
HELD, UNCLEAR, METHOD, REFUSED, PERMANENT = "H", "H-asked", "H-method", "P-perhaps", "P"
"""The classes: not executed and tried again, because of the portal or of the call; a pause by the clock, of pace or
method; may have been executed, as the portal says or as nobody can say; nothing works before a person has mended
something, as the answer says or as a question has shown; no call of the method does; refused by something that lets a
question pass; never will."""


@dataclass(frozen=True)
class Expected:
    state: State
    verdict: Verdict | None
    gate: GateState = GateState.OPEN


MEANS = {
    TRANSIENT: Expected(State.RETRYING, Verdict.UNREACHABLE, GateState.PAUSED),
    SLOWED: Expected(State.RETRYING, Verdict.THROTTLED, GateState.PAUSED),
    BUDGET: Expected(State.PENDING, None),
    AMBIGUOUS: Expected(State.UNCERTAIN, Verdict.AMBIGUOUS),
    LOST: Expected(State.UNCERTAIN, Verdict.AMBIGUOUS, GateState.PAUSED),
    HELD: Expected(State.PENDING, None, GateState.HELD),
    UNCLEAR: Expected(State.PENDING, None, GateState.HELD),
    METHOD: Expected(State.PENDING, None),
    REFUSED: Expected(State.RETRYING, Verdict.REJECTED),
    OF_ONE: Expected(State.RETRYING, Verdict.UNREACHABLE),
    PERMANENT: Expected(State.DEAD, Verdict.REJECTED),
}

CODES = {
    "QUERY_LIMIT_EXCEEDED": SLOWED,
    "OPERATION_TIME_LIMIT": BUDGET,
    "OVERLOAD_LIMIT": HELD,
    "INTERNAL_SERVER_ERROR": AMBIGUOUS,
    "ERROR_UNEXPECTED_ANSWER": AMBIGUOUS,
    # A webhook has nothing to refresh: what a token would be refreshed for, holds the portal.
    "expired_token": HELD,
    "invalid_token": HELD,
    "NO_AUTH_FOUND": HELD,
    "INVALID_CREDENTIALS": HELD,
    "insufficient_scope": METHOD,
    "authorization_error": HELD,
    "user_access_error": HELD,
    "ACCESS_DENIED": PERMANENT,
    "PAYMENT_REQUIRED": HELD,
    "ERROR_OAUTH": HELD,
    "NOT_INSTALLED": HELD,
    "APPLICATION_NOT_FOUND": HELD,
    "CONNECTION_ERROR": TRANSIENT,
    "PORTAL_DELETED": HELD,
    "ERROR_METHOD_NOT_FOUND": METHOD,
    "INVALID_REQUEST": HELD,
    "WRONG_LICENSE": METHOD,
    "WRONG_AUTH_TYPE": METHOD,
    "allowed_only_intranet_user": METHOD,
    "METHOD_CONFIRM_WAITING": METHOD,
    "METHOD_CONFIRM_DENIED": METHOD,
    "ERROR_BATCH_METHOD_NOT_ALLOWED": PERMANENT,
    "ERROR_BATCH_LENGTH_EXCEEDED": OF_ONE,
    "ERROR_CORE": AMBIGUOUS,
    "ERROR_ARGUMENT": PERMANENT,
    "INVALID_ARG_VALUE": PERMANENT,
    "ERROR_NOT_FOUND": PERMANENT,
    "NOT_FOUND": PERMANENT,
    "INTERNAL_WRONG_TRANSPORT": HELD,
    "INTERNAL_WRONG_HANDLER_CLASS": METHOD,
    "ERROR_WRONG_WORKFLOW_ID": PERMANENT,
    "": PERMANENT,
}
"""The codes that the pretend portal knows, with its own words and statuses."""

V3 = "BITRIX_REST_V3_EXCEPTION_"

ANSWERS: list[tuple[str, int, str, str]] = [
    # Statuses that only a vendor's SDK has seen.
    ("PORTAL_DELETED", 410, "Portal was deleted", HELD),
    ("user_access_error", 403, "The user does not have access to the application.", HELD),
    # A code is a code in any case, with any status and any words.
    ("query_limit_exceeded", 503, "Too many requests", SLOWED),
    ("QUERY_LIMIT_EXCEEDED", 429, "Too many requests", SLOWED),
    ("EXPIRED_TOKEN", 401, "The access token provided has expired", HELD),
    ("Invalid_Credentials", 400, "", HELD),
    ("error_method_not_found", 400, "Method not found!", METHOD),
    ("QUERY_LIMIT_EXCEEDED", 200, "Too many requests", SLOWED),
    # One code, two meanings.
    ("ACCESS_DENIED", 401, "Access denied!", PERMANENT),
    ("ACCESS_DENIED", 403, "Access denied.", PERMANENT),
    ("ACCESS_DENIED", 401, "REST is available only by subscription.", HELD),
    ("ACCESS_DENIED", 403, "REST is available only on commercial plans.", HELD),
    ("ACCESS_DENIED", 401, "Current user can't be authorized in this context", HELD),
    # The checks of a start, in their order.
    ("ERROR_WRONG_WORKFLOW_ID", 400, "Empty TEMPLATE_ID", PERMANENT),
    ("ERROR_WRONG_WORKFLOW_ID", 400, "Template not found", PERMANENT),
    ("ERROR_WRONG_WORKFLOW_ID", 400, "Шаблон нельзя запустить", PERMANENT),
    ("", 400, "Wrong DOCUMENT_ID!", PERMANENT),
    ("", 400, "Incorrect document type!", PERMANENT),
    ("", 400, "Template type and DOCUMENT_ID mismatch!", PERMANENT),
    # The engine's own words, some of them after something has begun.
    ("", 400, "EmptyRootActivity", AMBIGUOUS),
    ("", 400, "WorkflowAlreadyExists", AMBIGUOUS),
    ("", 400, "A document can be handled by 3 processes at most.", AMBIGUOUS),
    ("", 400, "Шаблон бизнес-процесса пуст", AMBIGUOUS),
    ("", 400, "Mysql query error: (1213) Deadlock found when trying to get lock", AMBIGUOUS),
    ("", 400, "Mysql query error: (1062) Duplicate entry '66e81a64.5' for key 'PRIMARY'", AMBIGUOUS),
    ("", 400, "", AMBIGUOUS),
    ("ERROR_CORE", 400, "Element was not found.", AMBIGUOUS),
    ("ERROR_CORE", 400, "Module name ''crm'' is not correct", PERMANENT),
    ("ERROR_CORE", 500, "SQL query error!", AMBIGUOUS),
    ("ERROR_MANIFEST_IS_NOT_AVAILABLE", 404, "Not available", PERMANENT),
    # What nobody has written down: the status proves that nothing ran, or nothing is proven.
    ("BRAND_NEW", 400, "Something else", AMBIGUOUS),
    ("BRAND_NEW", 500, "Something else", AMBIGUOUS),
    ("BRAND_NEW", 503, "Something else", AMBIGUOUS),
    ("BRAND_NEW", 200, "Something else", AMBIGUOUS),
    ("BRAND_NEW", 401, "Something else", REFUSED),
    ("BRAND_NEW", 403, "Something else", REFUSED),
    ("ACCESS_DENIED", 403, "Доступ запрещен", REFUSED),
    ("BRAND_NEW", 429, "Something else", SLOWED),
    ("0", 400, "Something else", AMBIGUOUS),
    # Of REST 3.0 in the form of the older one.
    (f"{V3}VALIDATION_REQUESTVALIDATIONEXCEPTION", 400, "Error validating request object", PERMANENT),
    (f"{V3}INSUFFICIENTSCOPEEXCEPTION", 403, "", METHOD),
    (f"{V3}BRANDNEWEXCEPTION", 500, "", AMBIGUOUS),
]

SPOILED = {
    "html_502": LOST,
    "html_503": LOST,
    "html_504": LOST,
    "http_503": SLOWED,
    "cut": LOST,
    "drop_before": LOST,
    "drop_after_start": LOST,
    "truncated": LOST,
    "lock_wait": AMBIGUOUS,
    "not_json": LOST,
    "empty_200": LOST,
    "wrong_encoding": AMBIGUOUS,
    "expired_token": HELD,
    "redirect": REFUSED,
}
"""The pretend portal's other faults."""

NESTED = [
    ("VALIDATION_REQUESTVALIDATIONEXCEPTION", 400, PERMANENT),
    ("INVALIDJSONEXCEPTION", 400, PERMANENT),
    ("UNKNOWNDTOPROPERTYEXCEPTION", 400, PERMANENT),
    ("ENTITYNOTFOUNDEXCEPTION", 400, PERMANENT),
    ("BRANDNEWEXCEPTION", 400, PERMANENT),
    ("IDEMPOTENCYKEYREUSEDEXCEPTION", 422, PERMANENT),
    ("ACCESSDENIEDEXCEPTION", 403, PERMANENT),
    ("INSUFFICIENTSCOPEEXCEPTION", 403, METHOD),
    ("BRANDNEWEXCEPTION", 403, UNCLEAR),
    ("BRANDNEWEXCEPTION", 404, UNCLEAR),
    ("BRANDNEWEXCEPTION", 500, AMBIGUOUS),
    ("BRANDNEWEXCEPTION", 200, AMBIGUOUS),
]
"""Errors of REST 3.0, whose `error` is a map: what the docs name (api-reference/rest-v3.md), and what nobody does."""

BODIES: list[tuple[str, bytes, str]] = [
    *(
        (f"nested_{status}_{code}", respond({"error": {"code": V3 + code, "message": "No"}}, status), means)
        for code, status, means in NESTED
    ),
    ("a_map_without_a_code", respond({"error": {"message": "No"}}, 400), AMBIGUOUS),
    ("a_map_whose_code_is_a_map", respond({"error": {"code": {}}}, 400), AMBIGUOUS),
    ("no_result_and_no_error", respond({"time": {}}), AMBIGUOUS),
    ("a_result_that_is_no_id", respond({"result": True}), AMBIGUOUS),
    ("an_empty_id", respond({"result": ""}), AMBIGUOUS),
    ("a_list", respond([]), LOST),
    ("null", respond(b"null"), LOST),
    ("half_of_json", respond(b'{"result": "66e8'), LOST),
    ("bytes_that_are_no_text", respond(b"\xff\xfe\x00"), LOST),
    ("an_error_that_is_null", respond({"error": None}, 400), AMBIGUOUS),
    ("html_500", respond(b"<html>", 500), LOST),
    ("html_400", respond(b"<html>", 400), LOST),
    ("html_401", respond(b"<html>", 401), UNCLEAR),
    ("html_403", respond(b"<html>", 403), UNCLEAR),
    ("html_404", respond(b"<html>", 404), UNCLEAR),
    ("html_405", respond(b"<html>", 405), UNCLEAR),
    ("html_410", respond(b"<html>", 410), UNCLEAR),
    ("html_413", respond(b"<html>", 413), PERMANENT),
    ("html_429", respond(b"<html>", 429), SLOWED),
    ("nothing_204", respond(b"", 204), LOST),
    *(
        (f"html_{status}", respond(b"<html>", status, "Location: https://a.invalid/"), UNCLEAR)
        for status in (301, 307, 308)
    ),
]

ROWS: list[Any] = []
for code, meaning in CODES.items():
    known = KNOWN_ERRORS[code]
    for column in ("source", "docs") if known.source != known.docs else ("source",):
        order = {"kind": "error", "code": code}
        ROWS.append(pytest.param(order, column, meaning, id=f"{code or 'empty'}-{getattr(known, column)}"))
for code, status, words, meaning in ANSWERS:
    order = {"kind": "error", "code": code, "status": status, "description": words}
    ROWS.append(pytest.param(order, "source", meaning, id=f"{code or 'empty'}-{status}-{words.replace(' ', '_')[:30]}"))
for kind, meaning in SPOILED.items():
    ROWS.append(pytest.param({"kind": kind}, "source", meaning, id=kind))


def has_come_to(context, delivery, meaning):
    """Nothing else of it has changed than its class allows."""
    expected, redis = MEANS[meaning], context.record.redis
    gate = context.gate.look()
    assert (delivery.state, gate.state) == (expected.state, expected.gate)
    assert [attempt.verdict for attempt in delivery.attempts] == ([expected.verdict] if expected.verdict else [])
    assert delivery.workflow_id is None
    assert delivery.reason
    assert bool(redis.hexists("relay:bucket:main", "factor")) is (meaning == SLOWED)
    told = {HELD: ["portal_held"], UNCLEAR: ["portal_held"], METHOD: ["method_held"]}
    assert alerts(context.record) == told.get(meaning, [])
    # No attempt is spent at a closed gate, or before a method: it waits there, as it did.
    assert bool(delivery.next_attempt_at) is (expected.state in {State.RETRYING, State.UNCERTAIN})
    if expected.gate is not GateState.OPEN:
        assert gate.reason
        assert gate.advice
    assert context.record.counts().imbalances == []
    return True


@pytest.mark.parametrize(("order", "column", "meaning"), ROWS)
def test_an_answer_leads_to_the_state_that_its_class_says(open_context, portal, order, column, meaning):
    context = open_context(rate_per_s=1000.0, burst=100)
    portal.configure(statuses=column)
    portal.add_faults([order])

    delivery = send(context, add(context.record))

    assert has_come_to(context, delivery, meaning)
    if meaning == PERMANENT:
        code = order["code"]
        assert delivery.attempts[0].description == (order.get("description") or KNOWN_ERRORS[code].description)
        assert delivery.attempts[0].code == code


@pytest.mark.parametrize(("response", "meaning"), [pytest.param(*row, id=name) for name, *row in BODIES])
def test_a_body_that_is_no_answer_leads_to_the_state_that_its_status_proves(open_context, record, response, meaning):
    with answering(response) as wire:
        context = open_context(wire.url, rate_per_s=1000.0, burst=100)
        delivery = send(context, add(record))

    assert has_come_to(context, delivery, meaning)
    assert len(wire.requests) == (3 if meaning == UNCLEAR else 1), "two questions, which are answered as badly"


def shut(connection, how):
    if how == "before_it_reads":
        connection.reset()
        return
    if how == "in_the_headers":
        connection.read_headers()
    else:
        connection.read_request()
        if how == "after_a_status":
            connection.send(b"HTTP/1.1 200 OK\r\n")
        if how == "in_the_answer":
            connection.send(respond({"result": "66e81a641752f8.56521481"})[:-10])
        if how == "never":
            connection.sock.recv(1)
    connection.reset()


@pytest.mark.parametrize("how", ["in_the_headers", "after_all", "after_a_status", "in_the_answer"])
def test_a_connection_that_breaks_once_something_was_sent_leaves_it_uncertain(open_context, record, how):
    with Wire(partial(shut, how=how)) as wire:
        context = open_context(wire.url)
        assert has_come_to(context, send(context, add(record)), LOST)


def test_an_answer_that_does_not_come_in_time_leaves_it_uncertain(open_context, record):
    with Wire(partial(shut, how="never")) as wire:
        context = open_context(wire.url)
        context.client._connect()
        context.client._client = Client(context.address.base_url, read_timeout_s=0.05)
        delivery = send(context, add(record))

    assert has_come_to(context, delivery, LOST)
    assert delivery.reason == "timed_out"


def test_a_portal_that_cannot_be_reached_is_tried_again(open_context, record, sandbox):
    with refusing_address() as address:
        urls = [f"http://{address}", "http://name.invalid", sandbox.url.replace("http:", "https:")]
        for url in urls:
            record.redis.flushall()
            context = open_context(url)
            delivery = send(context, add(record))
            assert has_come_to(context, delivery, TRANSIENT)
            assert delivery.reason == "not_sent"
    assert sandbox.portal.started() == []


OWN_ANSWERS: list[Any] = [
    pytest.param(({"template": 999}, {}, "Template not found", PERMANENT), id="no_such_template"),
    pytest.param(({"lead": 404}, {}, "Incorrect document type!", PERMANENT), id="no_such_lead"),
    pytest.param(({"document": ("crm", "CCrmDocumentDeal", "DEAL_1")}, {}, "mismatch!", PERMANENT), id="other_type"),
    pytest.param(
        ({"document": ("lists", "BizprocDocument", "404")}, {}, "Wrong DOCUMENT_ID!", PERMANENT), id="no_element"
    ),
    pytest.param(({"document": ("crm", "Nothing", "1")}, {}, "Wrong DOCUMENT_ID!", PERMANENT), id="no_such_class"),
    pytest.param(({}, {"bizproc_available": False}, None, METHOD), id="plan_without_processes"),
    pytest.param(({}, {"scope": ["crm"]}, None, METHOD), id="scope_missing"),
    pytest.param(({}, {"burst": 0, "rate": 1}, "Too many requests", SLOWED), id="bucket_full"),
]


@pytest.mark.parametrize("profile", ["a", "b"])
@pytest.mark.parametrize("row", OWN_ANSWERS)
def test_what_the_portal_refuses_by_itself_starts_nothing_and_has_its_verdict(open_context, portal, profile, row):
    what, settings, words, meaning = row
    portal.configure(profile=profile, **settings)
    context = open_context(rate_per_s=1000.0, burst=100)

    delivery = send(context, add(context.record, **what))

    assert has_come_to(context, delivery, meaning)
    assert portal.started() == []
    if words:
        assert delivery.attempts[0].description.endswith(words)


@pytest.mark.parametrize(
    ("user", "secret", "meaning"), [(1, "wrong", HELD), (7, "sandbox", HELD), (2, "sandbox", PERMANENT)]
)
def test_a_credential_that_may_not_start_is_held_or_refused(open_context, sandbox, user, secret, meaning):
    context = open_context(address=use_webhook(sandbox.url, user, secret))

    assert has_come_to(context, send(context, add(context.record)), meaning)
    assert sandbox.portal.started() == []


@pytest.mark.parametrize(("profile", "meaning"), [("a", None), ("b", PERMANENT)])
def test_a_script_is_refused_by_newer_servers_in_the_portals_language(open_context, record, portal, profile, meaning):
    portal.configure(profile=profile, language="ru")
    portal.add_templates({"id": 50, "document_type": ["crm", "CCrmDocumentLead", "LEAD"], "auto_execute": 32})
    context = open_context()

    delivery = send(context, add(record, template=50))

    assert delivery.state is (State.DEAD if meaning else State.STARTED)
    if meaning:
        assert has_come_to(context, delivery, meaning)
        assert not delivery.attempts[0].description.isascii()


def test_a_module_in_quotes_is_refused_in_words_and_is_no_doubt(open_context, portal):
    context = open_context(rate_per_s=1000.0, burst=100)

    delivery = send(context, add(context.record, document=("'crm'", "CCrmDocumentLead", "LEAD_1")))

    assert (delivery.state, delivery.reason) == (State.DEAD, "wrong_document_id")
    assert "may have" not in explain_attempt(delivery.attempts[-1], None)
    assert "document_id" in explain_attempt(delivery.attempts[-1], None)
    assert portal.started() == []


def test_every_code_of_the_pretend_portal_has_its_row():
    of_other_methods = {
        "ERROR_SELECT_VALIDATION_FAILURE",
        *("MESSAGE_EMPTY", "USER_ID_EMPTY", "USER_NOT_FOUND", "CHAT_ID", "ACCESS_ERROR"),
    }
    of_steps = {row.code for row in STEP_TABLE} - {row.code for row in TABLE}
    assert set(CODES) == set(KNOWN_ERRORS) - of_other_methods
    assert of_steps == set(CRM_ERRORS)
