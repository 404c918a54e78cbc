"""crm.duplicate.findbycomm: the leads, contacts and companies with a phone or an e-mail.

Facts: crm/duplicates/crm-duplicate-find-by-comm.md (docs); CCrmDuplicateRestProxy in crm_rest.php and find in
DuplicateCommunicationCriterion (source). Of each value the first twenty items are found, ordered by type and number:
twenty leads hide every contact, unless contacts alone are asked for. Whoever may read nothing of the CRM is refused.
"""

from __future__ import annotations

from relay.sandbox import php
from relay.sandbox.answers import RestError, Result
from relay.sandbox.calls import RestCall
from relay.sandbox.crm.phones import code_of
from relay.sandbox.crm.types import COMPANY, CONTACT, LEAD, SYSTEM_TYPES
from relay.sandbox.portal import Portal

MAX_VALUES = 20
"""Different values of a call; further ones are passed over without a word."""
MAX_FOUND = 20
"""Items of one value."""
_TYPES = {SYSTEM_TYPES[number].name: number for number in (LEAD, CONTACT, COMPANY)}


def find_duplicates(portal: Portal, call: RestCall) -> Result:
    """Numbers by type; `[]` where there is nothing, for an empty PHP array has no keys."""
    if portal.settings.crm_reads == "none" and not call.caller.user.is_admin:
        raise RestError("Access denied")
    kind = (php.to_string(call.get("TYPE")) or "").upper()
    if not kind:
        raise _refusal(portal, "Communication type is not defined", "Parameter 'type' is required.")
    if kind not in ("PHONE", "EMAIL"):
        text = f"Communication type '{kind}' is not supported in current context"
        raise _refusal(portal, text, "Unsupported communication type.")
    values = php.as_map(call.get("VALUES"))
    if not values:
        raise _refusal(portal, "Communication values is not defined", "Parameter 'values' is required.")
    wanted = (php.to_string(call.get("ENTITY_TYPE")) or "").upper()
    if wanted == "DEAL":
        raise RestError("", "Deal is not supported in current context.")
    found: dict[str, list[int]] = {}
    for value in _different(kind, list(values.values())):
        for type_name, number in _find(portal, kind, value, _TYPES.get(wanted)):
            numbers = found.setdefault(type_name, [])
            if number not in numbers:
                numbers.append(number)
    return Result(found or [])


def _different(kind: str, values: list[object]) -> list[str]:
    """The texts among the values, each once. A number is no text to PHP: it is passed over without a word.

    Phones are the same where their forms are; e-mails only where they are written the same.
    """
    texts = [value for value in values if isinstance(value, str) and value]
    by_form = {code_of(kind, text) if kind == "PHONE" else text: text for text in reversed(texts)}
    return list(reversed(by_form.values()))[:MAX_VALUES]


def _find(portal: Portal, kind: str, value: str, only: int | None) -> list[tuple[str, int]]:
    items = [item for item in portal.items.reached_by(kind, value) if only in (None, item.entity.id)]
    items.sort(key=lambda item: (item.entity.id, item.id))
    return [(item.entity.name, item.id) for item in items[:MAX_FOUND]]


def _refusal(portal: Portal, text: str, explanation: str) -> RestError:
    """Live portals have no code and the text as description; the docs put the text where the code is."""
    if portal.settings.statuses == "docs":
        return RestError(text, explanation, 400)
    return RestError("", f"{text}.")
