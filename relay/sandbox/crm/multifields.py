"""Phones, e-mails, links and messengers of an item: several values each, of several kinds.

Facts: crm/data-types.md#crm_multifield, crm-item-add.md, import/crm-item-import.md (docs); getFmValues and importAction
in crm/lib/controller/item.php (source). crm.item.add takes one list, `fm`; crm.item.import does not know `fm` and
passes over it without a word: there, each kind is a field of its own, in the old spelling.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from relay.sandbox import php
from relay.sandbox.answers import RestError

_MESSENGERS = (
    "TELEGRAM", "VK", "SKYPE", "VIBER", "BITRIX24", "OPENLINE", "IMOL", "ICQ", "MSN", "JABBER", "FACEBOOK", "OTHER",
)  # fmt: skip
KINDS: Mapping[str, tuple[str, ...]] = {
    "PHONE": ("WORK", "MOBILE", "FAX", "HOME", "PAGER", "MAILING", "OTHER"),
    "EMAIL": ("WORK", "HOME", "MAILING", "OTHER"),
    "WEB": ("WORK", "HOME", "VK", "LIVEJOURNAL", "TWITTER", "FACEBOOK", "OTHER"),
    "IM": _MESSENGERS,
    "LINK": ("USER", "OTHER"),
}
"""typeId -> its valueTypes. Of a value without one the first is taken, as far as the docs can tell."""
_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")


@dataclass(frozen=True, slots=True)
class MultiField:
    """One value. id: of the value, not of the item."""

    id: int
    type_id: str
    value_type: str
    value: str

    def to_json(self) -> dict[str, object]:
        """As `fm` shows it."""
        return {"id": self.id, "valueType": self.value_type, "value": self.value, "typeId": self.type_id}


def read_added(given: object) -> tuple[MultiField, ...]:
    """`fm` of crm.item.add: a list of values, or one. What has no typeId or no value is passed over."""
    entries = php.as_map(given) or {}
    if "typeId" in entries and "value" in entries:
        entries = {"new": dict(entries)}
    found = (php.as_map(entry) or {} for entry in entries.values())
    return _numbered(
        (entry["typeId"], entry.get("valueType"), entry["value"])
        for entry in found
        if entry.get("typeId") is not None and entry.get("value") is not None
    )


def read_imported(fields: Mapping[str, object]) -> tuple[MultiField, ...]:
    """The fields PHONE, EMAIL, WEB, IM and LINK of crm.item.import, each a list of {VALUE, VALUE_TYPE}."""
    entries = [
        (kind, php.as_map(entry) or {}) for kind in KINDS for entry in (php.as_map(fields.get(kind)) or {}).values()
    ]
    return _numbered((kind, entry.get("VALUE_TYPE"), entry.get("VALUE")) for kind, entry in entries)


def _numbered(entries: Iterator[tuple[object, object, object]]) -> tuple[MultiField, ...]:
    read = [_read(*entry) for entry in entries if php.is_truthy(entry[2])]
    return tuple(MultiField(number, *each) for number, each in enumerate(read, start=1))


def _read(type_id: object, value_type: object, value: object) -> tuple[str, str, str]:
    """Raises CRM_FIELD_ERROR_VALUE_NOT_VALID for an unknown kind, or for an e-mail that is none."""
    kind, text = php.to_string(type_id) or "", (php.to_string(value) or "").strip()
    sort = (php.to_string(value_type) if value_type is not None else None) or (KINDS.get(kind) or ("",))[0]
    if not text or sort not in KINDS.get(kind, ()) or (kind == "EMAIL" and not _MAIL.fullmatch(text)):
        raise RestError("CRM_FIELD_ERROR_VALUE_NOT_VALID", f'Invalid value for field "{kind.capitalize()}"')
    return kind, sort, text
