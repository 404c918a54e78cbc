"""Short names of our own codes, for lists and headings.

Explanations are in reasons.py. A portal's own codes stay as they are, because people look them up.
"""

from __future__ import annotations

import re

from relay.core.faults import Fault, code_of
from relay.core.phrases import Phrase, phrase, verbatim

GIVEN_UP = "given_up_"
RESENT = "resent_"
NOT_VISIBLE = "not_visible_"
"""Prefixes of reasons that contain another reason: a decision about a doubt, and a failed look at running workflows."""
COMMENT_UNKNOWN = "comment_unknown"
"""The reason of a comment that was claimed, and of which nothing more is known (store/redis/lua/say.lua)."""
AROUND = (GIVEN_UP, RESENT, NOT_VISIBLE)

REASONS: dict[str, str] = {
    "timed_out": "no answer in time",
    "cut": "connection broke",
    "unreadable": "unreadable answer",
    "unknown_answer": "unknown answer",
    "worker_died": "worker ended in mid-call",
    "not_sent": "no connection",
    "not_executed": "batch ended early",
    "too_late": "worker was held up",
    "find_unanswered": "no answer to a question",
    "made_unknown": "may have been made",
    "fired_unknown": "may have been fired",
    "nothing_found": "nothing found",
    "filter_ignored": "field passed over",
    "several_found": "several found",
    "document_missing": "no document to run on",
    "triggered": "trigger fired",
    "not_seen_running": "not seen among running workflows",
    "not_seen_yet": "not seen so far",
    "not_found_yet": "not seen so far",
    "found_running": "found among running workflows",
    "budget_spent": "every attempt failed",
    "resends_spent": "sent again too often",
    "settled_by_person": "decided by a person",
    "cancelled": "cancelled by a person",
    "started_before": "had started before",
    "finished": "had started, and has ended",
    "too_many_running": "too many workflows to look through",
    "workflow_of_another": "workflow of another delivery",
    "comment_unknown": "no answer is on record",
    "comment_no_document": "no document of CRM",
    "by_person": "paused by a person",
    "not_connected": "not connected yet",
    "no_administrator": "no administrator any more",
    "invalid_grant": "dead tokens",
    "went_back": "record has gone back in time",
    "operating_time": "time of the method used up",
    "rule_not_filled": "values missing or wrong",
    "token_missing": "no token",
    "token_mismatch": "wrong token",
    "signature_missing": "no signature",
    "signature_mismatch": "signature does not fit",
    "proof_missing": "no proof",
    "digest_mismatch": "digest does not fit",
    "url_mismatch": "signed for another address",
    "id_missing": "no id",
    "timestamp_missing": "no time",
    "timestamp_unreadable": "unreadable time",
    "timestamp_stale": "signed too long ago",
    "timestamp_future": "signed in the future",
    "body_unreadable": "unreadable body",
    "address_unlisted": "address not listed",
    "handshake_repeated": "second handshake",
    "secret_unusable": "unusable secret",
    "origin": "form of another page",
    "honeypot": "sent by a machine",
    "too_fast": "filled in too fast",
}
ALERTS: dict[str, str] = {
    "ledger": "Ledger",
    "dead": "Dead",
    "uncertain": "Left to a person",
    "overdue": "Overdue",
    "portal_held": "Portal held",
    "application_waits": "Portal to be accepted",
    "portal_paused": "Portal paused",
    "method_held": "Method refused",
    "own_id_ignored": "Own id not honoured",
    "started_after_all": "Started after all",
    "waiting": "Waiting too long",
    "drift": "Rules do not fit",
    "memory": "Memory",
    "archive": "Archive",
    "failover": "Failover",
    "silent": "Silent source",
}
_HTTP = re.compile(r"http_(\d{3})")


def name_of_reason(reason: str | None) -> Phrase:
    """A reason in a few words. A portal's code and a text of an earlier version stay as they are."""
    if isinstance(reason, Fault):
        return reason
    word = reason or ""
    if match := _HTTP.fullmatch(word):
        return verbatim(f"HTTP {match[1]}")
    around, held = parts_of(word)
    match around:
        case "given_up_":
            return phrase("given up: %(why)s", why=name_of_reason(held))
        case "resent_":
            return phrase("sent again: %(why)s", why=name_of_reason(held))
        case "not_visible_":
            return phrase("running workflows are not shown: %(why)s", why=name_of_reason(held))
    return phrase(REASONS[word]) if word in REASONS else verbatim(word)


def parts_of(reason: str) -> tuple[str, str]:
    """Split a reason into one of AROUND and the inner reason; without a prefix, the first part is empty."""
    around = next((one for one in AROUND if reason.startswith(one)), "")
    return around, reason.removeprefix(around)


def code_of_reason(reason: str | None) -> str | None:
    """The code of an event's reason; None if it has none, such as a sentence of an earlier version."""
    return code_of(reason) or (reason if reason in REASONS else None)


def name_of_alert(kind: str) -> str:
    """The name of an alert; an unknown kind is shown as its own word."""
    return ALERTS.get(kind) or kind.replace("_", " ").replace(".", " ").capitalize()
