"""Explanations of reasons and of a portal's codes, and what helps: for pages, messages and terminals.

The verdict on an answer is decided elsewhere (workers/bitrix24/verdicts.py); here are only words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relay.core.events import Attempt
from relay.core.labels import GIVEN_UP, NOT_VISIBLE, RESENT, name_of_reason, parts_of
from relay.core.lifecycle import EventState, State, Verdict
from relay.core.phrases import Phrase, phrase, sentences, verbatim
from relay.core.plan import StepKind
from relay.core.templates import read_drift

_TOKEN = "The portal does not accept the credential. Make a new one, give it to the workers, then resume the portal."  # noqa: S105
_APPLICATION = (
    "The application is not installed on the portal, or was removed. Install it again, then resume the portal."
)
_MOVED = "The portal has another address, and the relay may not follow it there. Give its new address to the workers."
_LICENSE = "The portal's plan or subscription does not allow this. Mend it on the portal, then resume it here."
_MAYBE = "The portal may have started the workflow. Look on the document's page in Bitrix24, then settle the delivery."
_NOT_SEEN = (
    "It is not among the portal's running workflows: it was never started, or it may have run and ended. Sent again, "
    "it may start twice. Look on the document's page in Bitrix24, then settle the delivery."
)
_NOT_SEEN_YET = "The portal's list of running workflows has not shown it so far. The relay looks again by itself."
_UNSEEN = (
    "The owner of the credential may not see running workflows, so the relay cannot find out whether it has started. "
    "Look on the document's page in Bitrix24, then settle the delivery."
)
_LATER = (
    "This came after the call whose answer was lost, and says nothing of that call: it may have been executed. Look on "
    "the document's page in Bitrix24, then settle the delivery."
)
_GIVEN_UP = (
    "Its answer was lost, the relay could not find out what became of it, and its rule gives up then. It may have "
    "started all the same: look on the document's page before you replay it."
)
_RESENT = (
    "Its answer was lost, the relay could not find out what became of it, and its rule has it sent again: it may start "
    "twice."
)
_ARGUMENT = "The portal refuses a value of the call. Mend the rule, then replay with today's rules."
_DOCUMENT = "Bitrix24 has no such document: it was deleted, or its id is of another kind. Check the rule's document_id."
_MADE_MAYBE = "The document may have been made. The relay looks for it by its own id before it makes another."
_TROUBLE = phrase("Nothing is sent meanwhile, and there is nothing to settle: the portal is asked again by itself.")
_FIRED_MAYBE = "The portal may have fired the trigger. Look on the document's page there, then settle the delivery."
_ASKED_IN_VAIN = "The question was not answered. It has changed nothing on the portal; the relay asks again by itself."
_FIELD = "The portal refuses a field; its words say which one. Mend the rule, then replay with today's rules."

_SCOPE = (
    "The credential lacks a scope: bizproc for workflows, crm for documents, user_basic for users. Add it on the "
    "portal; the relay asks again by itself."
)

BY_CODE: dict[str, str] = {
    "query_limit_exceeded": "Too many requests a second from this address. The relay goes slower by itself.",
    "operating_time": "The time that Bitrix24 grants this method is used up, or nearly. The relay waits by itself.",
    "operation_time_limit": "The time that Bitrix24 grants this method is used up. The relay waits by itself.",
    "overload_limit": "Bitrix24 has blocked REST on this portal by hand. Write to their support, then resume it.",
    "expired_token": _TOKEN,
    "invalid_token": _TOKEN,
    "no_auth_found": _TOKEN,
    "invalid_credentials": "The inbound webhook was deleted, or its secret is wrong. Make a new one, give it to the "
    "workers, then resume the portal.",
    "insufficient_scope": _SCOPE,
    "authorization_error": "The owner of the credential was dismissed. Make a credential for another administrator.",
    "access_denied": "The owner of the credential may not do this. Use an administrator's credential.",
    "not_connected": "No administrator of the portal has opened the application yet. Portals, Connect says how; the "
    "relay goes on by itself then.",
    "no_administrator": "Whoever opened the application is no administrator any more. Let an administrator open the "
    "application in Bitrix24; the relay goes on by itself then.",
    "invalid_grant": "The tokens of the application are dead, of every administrator who has opened it. Let an "
    "administrator open it in Bitrix24; the relay goes on by itself then.",
    "invalid_client": "The client_secret is not that of the application. Copy it again into the workers' environment.",
    "wrong_client": "Bitrix24 knows no such application: it was deleted, or its client_id in portals.yaml is wrong.",
    "payment_required": _LICENSE,
    "wrong_license": "The portal's plan does not allow this. Mend it on the portal; the relay tries again by itself.",
    "error_oauth": _APPLICATION,
    "not_installed": _APPLICATION,
    "application_not_found": _APPLICATION,
    "portal_deleted": "The portal was deleted, or its site is closed.",
    "error_method_not_found": "The portal's plan has no business processes, or not this method, or the address of the "
    "credential is wrong.",
    "error_wrong_workflow_id": "There is no such template, or it cannot be started so. Check the rule's template_id.",
    "wrong_document_id": _DOCUMENT,
    "incorrect_document_type": _DOCUMENT,
    "template_type_and_document_id_mismatch": "The template belongs to another kind of document than the rule names.",
    "error_argument": _ARGUMENT,
    "invalid_arg_value": _ARGUMENT,
    "engine_error": _MAYBE,
    "error_core": _MAYBE,
    "internal_server_error": _MAYBE,
    "timed_out": f"No answer came in time. {_MAYBE}",
    "cut": f"The connection broke after sending. {_MAYBE}",
    "unreadable": f"The answer was no answer of REST. {_MAYBE}",
    "unknown_answer": f"The relay does not know this answer. {_MAYBE}",
    "went_back": "The record has gone back in time: what was acknowledged or sent after some moment is missing in it. "
    "What waited then is uncertain now. Find out what was lost, then resume the portal: it is asked about each.",
    "worker_died": f"The worker ended in mid-call. {_MAYBE}",
    "not_sent": "No connection to the portal: nothing was sent. The relay tries again by itself.",
    "not_executed": "The batch ended before it came to this call. The relay sends it again by itself.",
    "too_late": "The worker was held up between taking the delivery and sending it: nothing was sent. The relay tries "
    "again by itself.",
    "find_unanswered": _ASKED_IN_VAIN,
    "made_unknown": _MADE_MAYBE,
    "fired_unknown": _FIRED_MAYBE,
    "filter_ignored": "The portal has passed over a field by which the rule looks for users, so whom it named is "
    "somebody else: the credential has only the scope user_brief, or there is no such field. Give the credential "
    "the scope user_basic, then replay the delivery.",
    "nothing_found": "The portal does not know what the rule looks for, and the rule says to stop then. When it is "
    "there, replay the delivery.",
    "several_found": "The portal knows several of what the rule looks for, and the rule says to stop then. When only "
    "one is left, replay the delivery.",
    "document_missing": "Nothing was found to run on, and nothing was made. Say in the rule what follows, then replay "
    "with today's rules.",
    "triggered": "The trigger was fired. Bitrix24 does not say whether that has moved anything: its conditions decide.",
    "crm_field_error_required": "The portal requires a field that the rule does not write; its words name it. Mend the "
    "rule, then replay with today's rules.",
    "crm_field_error_value_not_valid": _FIELD,
    "100": _FIELD,
    "create_dynamic_item_restricted": "The portal's plan allows no new items of smart processes. Mend it there, then "
    "replay the delivery.",
    "entity_type_not_supported": "This kind of document cannot be made any more. Make another kind.",
    "target_is_not_set": _DOCUMENT,
    "incorrect_target_format": _DOCUMENT,
    "target_is_not_found": _DOCUMENT,
    "not_seen_running": _NOT_SEEN,
    "not_seen_yet": _NOT_SEEN_YET,
    "budget_spent": "Every attempt has failed, over about a day. When the portal answers again, replay the delivery.",
    "resends_spent": "It was sent as often as any call is tried, 12 times, and no answer came: it may have started as "
    "often. Look on the document's page in Bitrix24, then settle the delivery.",
    "settled_by_person": "A person decided it; the log says who, and why.",
    "cancelled": "A person cancelled it before it was sent.",
    "started_before": "An earlier attempt had started this workflow: it was found, not started twice.",
    "finished": "Its workflow has called the one-time address, which only this start carries: it had started.",
    "too_many_running": f"More workflows run on this document than the relay looks through. {_MAYBE}",
    "workflow_of_another": "The portal named a workflow that another delivery has started. Look on the portal.",
    "user_access_error": "The application is not open to the owner of the credential. Open it to them on the portal.",
    "connection_error": "The portal could not reach its authorization server. The relay tries again by itself.",
    "invalid_request": "The portal wants https. Give an address that begins with https to the workers.",
    "wrong_auth_type": "This kind of credential may not call the method. Use an inbound webhook of an administrator.",
    "allowed_only_intranet_user": "The owner of the credential must be an intranet user. Use another one.",
    "method_confirm_waiting": "A user of the portal has to approve the method, on the portal.",
    "method_confirm_denied": "A user of the portal has refused the method. Ask them; the relay tries again by itself.",
    "internal_wrong_transport": "The address of the credential has a suffix that the portal does not know. Copy "
    "it again.",
    "internal_wrong_handler_class": "REST is broken on this installation. Write to whoever runs it.",
    "workflowalreadyexists": "A workflow of this id was begun before: it is not begun twice.",
    "error_not_found": "The portal does not find what the call names. Check the rule, then replay.",
    "not_found": "The portal does not find what the call names. Check the rule, then replay.",
    "bitrix_rest_v3_exception": "The portal refuses the call; its words say what is wrong. Mend the rule, then replay "
    "with today's rules.",
    "bitrix_rest_v3_exception_accessdeniedexception": "The owner of the credential may not do this. Use an "
    "administrator's credential.",
    "bitrix_rest_v3_exception_insufficientscopeexception": _SCOPE,
    "error_manifest_is_not_available": "The portal refuses the call.",
    "error_batch_method_not_allowed": "The portal takes no such method in a batch; this call was not executed, and is "
    "sent in a request of its own.",
    "error_batch_length_exceeded": "The batch was too long for the portal; this call was not executed, and is sent "
    "again.",
    "by_person": "A person has paused this portal.",
    "error_unexpected_answer": _MAYBE,
    "wrong_encoding": f"The call ran; its answer could not be encoded. {_MAYBE}",
    "http_301": _MOVED,
    "http_302": _MOVED,
    "http_307": _MOVED,
    "http_308": _MOVED,
    "http_402": _LICENSE,
    "http_405": "There is no REST at the address of the credential.",
    "http_410": "The portal is gone.",
    "http_429": "Too many requests a second from this address. The relay goes slower by itself.",
    "http_401": _TOKEN,
    "http_403": "The portal, or a firewall before it, forbids the call.",
    "http_406": "The portal, or a firewall before it, forbids the call.",
    "http_404": "There is no REST at the address of the credential.",
    "http_413": "The call is too large for the portal's web server.",
    "rule_not_filled": "A rule wanted this event, but a value was missing or did not fit. The errors are below.",
    "token_missing": "The request carried no token. Check the header or query parameter in the sender's settings.",
    "token_mismatch": "The request carried another token than the one configured: a typing error, or an old secret.",
    "signature_missing": "The request carried no signature. Check that the sender signs, and in which header.",
    "signature_mismatch": "The signature does not fit the body: another secret, or a proxy that changes the body.",
    "proof_missing": "The request carried no proof, in none of the places where this source looks for one.",
    "digest_mismatch": "The digest of the body that is signed does not fit the body.",
    "url_mismatch": "The signature is right, but of another address: RELAY_PUBLIC_URL may be wrong, or a proxy changes "
    "the path or the query.",
    "id_missing": "The request carried no id, which is a part of what is signed. Check the header in id_header.",
    "timestamp_missing": "The request carried no time, which is a part of what is signed.",
    "timestamp_unreadable": "The time that is signed is not written as the source expects it: see unit.",
    "body_unreadable": "The proof is in the body, or over its fields, and the body cannot be read so.",
    "address_unlisted": "The request came from an address that the source's addresses do not list: the sender has new "
    "ones, a proxy hides the sender's, or somebody else has its secret.",
    "handshake_repeated": "A sender offered a secret, but one is kept already. If it is the right sender, forget the "
    "kept one on the page Sources, and let it try again.",
    "secret_unusable": "A sender offered a secret that is too short, too long, or no plain text.",
    "timestamp_stale": "The request was signed too long ago: a late repeat, or the sender's clock is slow.",
    "timestamp_future": "The request was signed in the future: the sender's clock, or ours, is wrong.",
    "origin": "A page sent the form that origins does not name. If it is yours, add its origin to the source.",
    "honeypot": "A field was filled in that no person sees: a machine sent the form. It was thanked all the same.",
    "too_fast": "The form was sent sooner than a person can fill it in. The sender was thanked all the same.",
}
_OF_DOUBT = frozenset(
    {_MAYBE, _NOT_SEEN, _UNSEEN, _LATER, _FIRED_MAYBE, *(text for text in BY_CODE.values() if _MAYBE in text)}
)
"""Texts that ask a person to settle a delivery."""

OF_PORTAL: dict[str, str] = {
    "access_denied": "The owner of the credential may start nothing, or the portal's plan has no REST. Mend it there.",
}
"""Explanations of a code that concerns the whole portal, and not one call."""

OF_REFUSAL: dict[str, str] = {"error_core": _DOCUMENT}
"""Explanations of a code that certainly refused a call: the portal's engine failed before it began."""

IN_DOUBT: dict[str, str] = {
    code: BY_CODE[code]
    for code in (
        "engine_error", "error_core", "internal_server_error", "timed_out", "cut", "unreadable", "unknown_answer",
        "went_back", "worker_died", "fired_unknown", "not_seen_running", "not_seen_yet", "resends_spent",
        "too_many_running", "workflow_of_another", "error_unexpected_answer", "wrong_encoding",
    )
} | {"not_found": _NOT_SEEN, "not_found_yet": _NOT_SEEN_YET, NOT_VISIBLE: _UNSEEN, "": _LATER}  # fmt: skip
"""Explanations for uncertain deliveries. The empty key is for all other reasons, which concern a later call or a
question.

Earlier versions wrote `not_found` for `not_seen_running`; it is also a portal's answer to a step.
"""

BY_POLICY: dict[str, str] = {GIVEN_UP: _GIVEN_UP, RESENT: _RESENT}
"""Explanations of decisions by a rule's `on_uncertain`, by the prefix of the reason."""

BY_VERDICT: dict[Verdict, str] = {
    Verdict.STARTED: "The portal has started the workflow.",
    Verdict.DONE: "The portal has answered; the next step follows.",
    Verdict.THROTTLED: "The portal wants us to wait; nothing was executed. The relay tries again by itself.",
    Verdict.UNREACHABLE: "The portal could not be reached; nothing was executed. The relay tries again by itself.",
    Verdict.REJECTED: "The portal refuses this call, and would refuse it again. Mend the cause, then replay.",
    Verdict.HELD: "No call to this portal can succeed until its trouble is mended. Deliveries wait.",
    Verdict.AMBIGUOUS: _MAYBE,
}


def explain(code: str | None, verdict: Verdict | None = None) -> str | None:
    """An explanation for a person; None if there is none. code: a portal's code, or our reason."""
    word = word_of(code)
    if verdict is Verdict.HELD and word in OF_PORTAL:
        return OF_PORTAL[word]
    if verdict is Verdict.REJECTED and word in OF_REFUSAL:
        return OF_REFUSAL[word]
    if policy := BY_POLICY.get(parts_of(word)[0]):
        return policy
    return BY_CODE.get(word) or (BY_VERDICT[verdict] if verdict else None)


def word_of(code: str | None) -> str:
    """A portal's code, or a reason, as the tables here have it."""
    return (code or "").casefold().rstrip("!").replace(" ", "_")


def explain_trouble(reason: str | None) -> str | None:
    """An explanation of why a portal is not called for a while; None if there is none. Nothing waits for a person."""
    text = explain(reason)
    return _TROUBLE if text in _OF_DOUBT else text


def explain_reason(state: State | EventState, reason: str | None) -> str | None:
    """An explanation of the reason of a delivery or an event in this state; None if there is none."""
    if reason and state is State.UNCERTAIN:
        return IN_DOUBT.get(NOT_VISIBLE if parts_of(reason)[0] == NOT_VISIBLE else reason) or IN_DOUBT[""]
    return explain(reason)


def explain_attempt(attempt: Attempt, kind: StepKind | None) -> str | None:
    """An explanation of the answer to one attempt. kind: of the step that was tried; None: the start."""
    if kind is None:
        return explain(attempt.code or attempt.description, attempt.verdict)
    if attempt.verdict is Verdict.AMBIGUOUS:
        return _FIRED_MAYBE if kind is StepKind.TRIGGER else _MADE_MAYBE
    if attempt.verdict is Verdict.DONE:
        return None
    return explain(attempt.code or ("" if attempt.status is None else "find_unanswered"), attempt.verdict)


def alert_words(kind: str, values: Mapping[str, Any]) -> str:
    """The text of an entry of the alerts. values: as stored with the entry (store/portals/gate.py)."""
    delivery, reason = values.get("delivery", ""), values.get("reason", "")
    match kind:
        case "portal_held":
            return _said(explain(reason, Verdict.HELD), reason)
        case "application_waits":
            return phrase(
                "the application was opened on %(domain)s, which is not the expected portal: accept or refuse it on "
                "the page Portals",
                domain=values["domain"],
            )
        case "uncertain":
            return phrase("%(what)s is left to a person: %(why)s", what=delivery, why=name_of_reason(reason))
        case "method_held":
            why = _said(explain(reason), reason)
            return phrase("%(method)s is refused: %(why)s", method=values["method"], why=why)
        case "started_after_all":
            return phrase(
                "%(delivery)s was given up and replayed by %(replay)s, and had started: look for a second workflow",
                delivery=delivery,
                replay=values["replay"],
            )
        case "own_id_ignored" if delivery:
            return phrase(
                "%(delivery)s: it may have started twice; look for a second workflow. "
                "The portal does not honour our own workflow ids.",
                delivery=delivery,
            )
        case "own_id_ignored":
            return phrase("The portal does not honour our own workflow ids.")
        case "drift":
            return sentences(one.sentence for one in read_drift(values["drift"]))
        case _:
            return verbatim(", ".join(map(str, values.values())))  # of a later version


def _said(words: str | None, code: str) -> Phrase:
    """The words as a phrase; without words, the code."""
    return phrase(words) if words else verbatim(code)
