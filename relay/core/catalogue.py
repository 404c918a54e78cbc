"""The English message of every fault, by its code; `%(name)s` stands for a value. Standard library only.

This is the one place where these sentences are written. Code names a fault, as in
`fault("json_invalid", line=1, column=2)` (faults.py), and the record keeps code and values. A page words it in the
language of its reader (translations/*.po has the same messages), all others in English.
"""

from __future__ import annotations

from collections.abc import Mapping

EXPECTED: Mapping[str, str] = {
    # Values of an event (rules/values.py).
    "expected_text": "expected text",
    "expected_whole_number": "expected a whole number",
    "expected_number": "expected a number",
    "expected_boolean": "expected true or false",
    "expected_email": "expected an e-mail address",
    "expected_url": "expected an http or https address",
    "expected_phone": "expected a telephone number of %(least)s to %(most)s digits",
    "expected_phone_of_region": "expected a telephone number with its area code, as in %(region)s or with a +",
    "expected_date": "expected a date such as 2026-01-31",
    "expected_datetime": "expected a date and time with its offset, such as 2026-01-31T10:00:00+03:00",
    "expected_list": "expected a list",
    "expected_value": "expected a value",
    "expected_choice": "expected one of %(names)s",
    "expected_between": "expected from %(least)s to %(most)s",
    "expected_at_least": "expected at least %(least)s",
    "expected_at_most": "expected at most %(most)s",
    "expected_at_most_characters": "expected at most %(most)s characters",
    "expected_at_most_entries": "expected at most %(most)s entries",
    # The call that a rule makes (rules/compose.py).
    "expected_number_for_document": "expected a whole number above 0: document_id needs it",
    "expected_short_text_for_document": "expected a short text or number: document_id needs it",
    # Bodies (sources/parsers.py).
    "expected_content_type": "expected JSON, a urlencoded form or multipart/form-data",
    "expected_content_type_advice": "expected JSON, a urlencoded form or multipart/form-data; %(advice)s",
}
"""What was expected where something else stands, or nothing."""

VALUES: Mapping[str, str] = {
    "missing": "missing: %(expected)s",
    "missing_for_document": "missing: document_id needs it",
    "too_many_steps": "the rule's expressions need too many steps for an event of this size",
    "too_long_for_uses": "too long to be written %(count)s times",
    "step_unknown": "no step has this name%(hint)s",
    "step_never_nothing": "it is made, so it is never nothing: expected an id",
}
"""What else can be wrong with a value of an event, or with the result that a preview gives to a step."""

BODIES: Mapping[str, str] = {
    "no_body": "no body",
    "body_not_kept": "%(why)s; its %(size)s bytes were not kept",
    "body_removed": "its body was removed on %(day)s (RELAY_BODY_DAYS)",
    "body_too_large": "at most %(most)s bytes",
    "body_too_large_unpacked": "at most %(most)s bytes, unpacked",
    "json_invalid": "not valid JSON at line %(line)s, column %(column)s",
    "json_goes_on": "not valid JSON: more comes after its end, at line %(line)s, column %(column)s; "
    "several values are sent as one list",
    "json_long_number": "not valid JSON: a number of too many digits",
    "number_too_large": "a number that is too large",
    "number_not_finite": "NaN and Infinity are not JSON",
    "too_deep": "deeper than %(max_depth)s levels",
    "too_many_values": "more than %(most_values)s values",
    "too_deep_or_many": "deeper than %(max_depth)s levels or more than %(most_values)s values",
    "half_surrogate": "half a surrogate pair",
    "nul_character": "a NUL character",
    "charset_unknown": "unknown charset",
    "charset_wrong": "bytes that are not of their charset",
    "form_field_unreadable": "the form field %(name)s is %(why)s",
    "form_field_no_map": "the form field %(name)s does not hold a JSON map",
    "form_name_twice": "a name that comes twice",
    "not_a_form": "not a urlencoded form",
    "multipart_no_boundary": "multipart without a usable boundary",
    "multipart_no_end": "multipart that does not end with its boundary",
    "part_no_head": "a part without a readable head",
    "part_no_name": "a part without a name",
    "packed_broken": "a broken packed body",
    "packed_cut": "a packed body that ends early",
    "packed_goes_on": "a packed body with something after its end",
    "encoding_unknown": "unknown content encoding: expected gzip, deflate or none, once",
    "content_type_missing": "no content type: %(expected)s",
    "too_many_entries": "more than %(most)s entries in one request",
    "entries_too_large": "entries that weigh more than %(most)s bytes with what stands around each",
    "advice_soap": "SOAP is not read: have something in front of the relay post its fields as JSON",
    "advice_xml": "XML is not read: set the sender to JSON or a form, or have something in front post JSON",
    "advice_html": "a page is not read: set the sender to JSON or a form",
    "advice_rows": "values in a row are not read: send them as one list",
    "advice_binary": "set the sender to JSON",
    "advice_file": "a file is read only as a part of a form",
    "advice_multipart": "of multipart bodies only forms are read",
}
"""Why a body cannot be read (sources/)."""

EVENTS: Mapping[str, str] = {
    "cannot_be_filled": "cannot be filled: %(fields)s",
    "no_reason": "no reason was kept",
}
"""What rejected events have in common (faults.py)."""

NEAR_MISSES: Mapping[str, str] = {
    "token_right_but": "the token is right, but %(but)s",
    "signature_right_but": "the signature is right, but %(but)s",
    "in_header": "in the header %(name)s",
    "in_query": "in the query parameter %(name)s",
    "with_blanks": "with blanks around it",
    "without_prefix": "without the prefix",
    "after_prefix": "after %(prefix)s",
    "in_quotes": "in quotes",
    "percent_encoded": "percent-encoded",
    "in_other_capitals": "in other capitals",
    "secret_has_blanks": "the configured secret has blanks or quotes around it",
    "secret_is_text": "the secret is used as text: key: text",
    "secret_is_base64": "the secret is base64: key: base64",
    "encoded_as": "encoded as %(encoding)s",
    "made_with": "made with %(algorithm)s",
    "over_body_alone": "over the body alone",
    "over_body_without_line_end": "over the body without its last line end",
    "over_body_with_line_end": "over the body with a line end after it",
    "over_other_line_ends": "over the body with other line ends",
    "over_json_anew": "over the JSON written anew: something on the way has changed the body",
    "timestamp_in_header": "a timestamp is in the header %(name)s",
    "timestamp_in_milliseconds": "the timestamp is in milliseconds: unit: ms",
    "timestamp_in_seconds": "the timestamp is in seconds: unit: s",
    "origin_hidden": "the page keeps its origin to itself: a file, a sandboxed frame, or Referrer-Policy: no-referrer",
    "origin_nearly": "the page is on the same site, but %(but)s",
    "origin_other_site": "the page is on a site that origins does not name",
    "other_scheme": "its address does not begin with %(scheme)s://",
    "with_www": "with www.",
    "without_www": "without www.",
    "on_other_port": "on another port",
    "honeypot_filled": "the field %(name)s was filled in, which no person sees",
    "form_too_fast": "the form was sent within %(seconds)s s of being shown",
}
"""What is almost right about a refused webhook (sources/near_misses.py, visitors.py)."""

REFUSALS: Mapping[str, str] = {
    "not_final": "%(id)s is %(state)s: only what is dead or started is replayed",
    "no_call_to_repeat": "%(id)s has no call to repeat, for its rule could not be filled: use today's rules",
    "has_deliveries": "%(id)s has deliveries: replay one of %(names)s",
    "not_wanted": "no rule of today wants %(id)s",
    "edit_not_wanted": "no rule of today wants %(id)s with this body",
    "edited_before": "this has been done before: it is %(event_id)s",
    "rule_does_not_want": "the rule %(rule_name)s of today does not want %(id)s",
    "several_entries": "%(id)s holds %(count)s entries that the rule %(rule_name)s wants",
    "source_unknown": "the source %(source)s of %(id)s is no longer configured",
    "nothing_to_read": "the body of %(id)s was removed on %(day)s (RELAY_BODY_DAYS): today's rules have nothing to "
    "read; a delivery can be replayed as it was (original)",
    "body_lost": "%(id)s cannot be read: its body was not kept",
    "unreadable_today": "%(id)s cannot be read, as its source is configured today: %(why)s",
    "secret_key_needed": "RELAY_SECRET_KEY is needed: without it, its person could not be found again",
    "address_needed": "RELAY_PUBLIC_URL is needed: the rule watches for the end, and its start has no address",
    "replayed_before": "%(id)s has been replayed before",
    "moved_meanwhile": "%(id)s has moved meanwhile: look again",
    "not_uncertain": "%(id)s is %(state)s: only an uncertain delivery is settled by a person",
    "not_waiting": "%(id)s is %(state)s: only a waiting delivery is cancelled",
    "delivery_needs_nobody": "%(id)s needs nobody: only a delivery that is dead or overdue, and that nobody has dealt "
    "with, is left",
    "event_needs_nobody": "%(id)s needs nobody: only a rejected event that nobody has dealt with is left",
    "workflow_of_other": "this workflow is on record as started by another delivery",
}
"""Why a person's act is refused (operations/replay.py, operator_acts.py)."""

SKIPPED: Mapping[str, str] = {
    "skipped_not_final": "it is %(state)s: only what is dead or started is replayed",
    "skipped_no_call_to_repeat": "it has no call to repeat, for its rule could not be filled: use today's rules",
    "skipped_has_deliveries": "it has deliveries: they are replayed instead",
    "skipped_not_wanted": "no rule of today wants it",
    "skipped_rule_does_not_want": "the rule %(rule_name)s of today does not want its event",
    "skipped_several_entries": "its event holds several entries that the rule %(rule_name)s wants",
    "skipped_source_unknown": "its source %(source)s is no longer configured",
    "skipped_nothing_to_read": "its body was removed (RELAY_BODY_DAYS): today's rules have nothing to read",
    "skipped_body_lost": "it cannot be read: its body was not kept",
    "skipped_unreadable_today": "it cannot be read, as its source is configured today: %(why)s",
    "skipped_secret_key_needed": "RELAY_SECRET_KEY is needed: without it, its person could not be found again",
    "skipped_address_needed": "RELAY_PUBLIC_URL is needed: the rule watches for the end, and its start has no address",
    "skipped_replayed_before": "it has been replayed before",
    "skipped_moved_meanwhile": "it has moved meanwhile: look again",
    "skipped_not_uncertain": "it is %(state)s: only an uncertain delivery is settled by a person",
    "skipped_delivery_needs_nobody": "it needs nobody: only a delivery that is dead or overdue, and that nobody has "
    "dealt with, is left",
    "skipped_event_needs_nobody": "it needs nobody: only a rejected event that nobody has dealt with is left",
    "skipped_changed": "it has changed since it was ordered",
    "skipped_other_reasons": "for other reasons",
}
"""Why one of many was skipped (operations/bulk_replay.py): a refusal, without the id of the one that was refused."""

NOTES: Mapping[str, str] = {
    "made_by_original_rules": "original rules: %(names)s",
    "made_by_current_rules": "current rules: %(names)s",
    "paused_until": "until %(until)s",
    "bulk_ended": "%(done)s done, %(skipped)s skipped",
    "restored_from_archive": "from the archive",
    "erased": "events: %(events)s, deliveries: %(deliveries)s, entries of logs: %(entries)s, kept answers: "
    "%(answers)s, archived events: %(archived)s",
    "operator_session": "operator, opened %(opened)s",
    "viewer_session": "viewer, opened %(opened)s",
}
"""What the program notes beside an act in the audit log."""

MESSAGES: Mapping[str, str] = {
    **EXPECTED, **VALUES, **BODIES, **EVENTS, **NEAR_MISSES, **REFUSALS, **SKIPPED, **NOTES,
}  # fmt: skip
