"""The values of an item as read from a caller's fields, and how the portal refuses them. May not store anything.

Facts: processFields, prepareBooleanFieldValue, getFmValues and importAction in crm/lib/controller/item.php (source),
crm-item-add.md, import/crm-item-import.md, crm/data-types.md#crm_multifield and files/how-to-upload-files.md (docs).
The portal drops much without an error: fields that a type does not have, read-only ones, dates that it cannot read,
files in another shape than [name, base64].

Phones, e-mails, links and messengers have several values each: crm.item.add takes one list, `fm`; crm.item.import
ignores `fm` and takes a field of its own for each kind, in the old spelling.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from relay.sandbox import php
from relay.sandbox.answers import RestError
from relay.sandbox.crm.fields import DEAL, INVOICE, LEAD, QUOTE, EntityType, Field
from relay.sandbox.lists import seconds_of
from relay.sandbox.workflows import iso_time

LONG = 10
"""The least digits of a number with a country or trunk prefix."""
_NOT_DIALLED = re.compile(r"[^0-9#*,;]")
_EXTENSION = re.compile(r"([0-9]+)[;#]*[0-9,]*")


def code_of(kind: str, value: str) -> str:
    """The form of a value of PHONE or EMAIL; the value itself where nothing is left of it."""
    return (normalize_phone(value) if kind == "PHONE" else value.strip().lower()) or value


def normalize_phone(value: str) -> str:
    """Digits without trunk prefix and extension: `8 (912) 345-67-89` and `+79123456789#12` are 79123456789.

    A number with fewer than ten digits keeps them all, so `+49 30 123` and `030 123` stay apart.
    """
    if len(value) >= LONG and value.startswith("+8"):
        value = f"00{value[1:]}"  # so that the 8 of a country is not taken for Russia's trunk prefix
    return _EXTENSION.sub(r"\1", _without_prefix(_NOT_DIALLED.sub("", value)))


def _without_prefix(digits: str) -> str:
    if len(digits) < LONG or digits.startswith(("80", "81", "82")):
        return digits
    for prefix in ("00", "011"):
        if digits.startswith(prefix):
            return digits.removeprefix(prefix)
    return f"7{digits[1:]}" if digits.startswith("8") else digits.removeprefix("0")


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
    read = [_read_multifield(*entry) for entry in entries if php.is_truthy(entry[2])]
    return tuple(MultiField(number, *each) for number, each in enumerate(read, start=1))


def _read_multifield(type_id: object, value_type: object, value: object) -> tuple[str, str, str]:
    """Raises CRM_FIELD_ERROR_VALUE_NOT_VALID for an unknown kind, or for an e-mail that is none."""
    kind, text = php.to_string(type_id) or "", (php.to_string(value) or "").strip()
    sort = (php.to_string(value_type) if value_type is not None else None) or (KINDS.get(kind) or ("",))[0]
    if not text or sort not in KINDS.get(kind, ()) or (kind == "EMAIL" and not _MAIL.fullmatch(text)):
        raise RestError("CRM_FIELD_ERROR_VALUE_NOT_VALID", f'Invalid value for field "{kind.capitalize()}"')
    return kind, sort, text


STAGES: Mapping[int, tuple[str, ...]] = {
    LEAD: ("NEW", "IN_PROCESS", "PROCESSED", "CONVERTED", "JUNK"),
    DEAL: ("NEW", "PREPARATION", "PREPAYMENT_INVOICE", "EXECUTING", "FINAL_INVOICE", "WON", "LOSE", "APOLOGY"),
    QUOTE: ("DRAFT", "SENT", "APPROVED", "DECLAINED"),
    INVOICE: ("DT31_2:N", "DT31_2:S", "DT31_2:P", "DT31_2:D"),
}
"""The stages of a new portal; the first is the default. A deal's pipelines and smart processes have their own."""
_DEAL_STAGE = re.compile(r"C[0-9]+:\w+")
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
_REAL = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{1,10})?")
_WHOLE_KINDS = frozenset({"integer", "user", "crm_company", "crm_contact", "crm_lead", "crm_deal", "crm_quote",
                          "crm_entity", "crm_category"})  # fmt: skip


def read_contents(
    entity: EntityType, fields: Mapping[str, Field], given: Mapping[str, object], utc_offset_h: int
) -> dict[str, object]:
    """The values of the fields that are known and not read-only; of the others, None.

    Raises CRM_FIELD_ERROR_VALUE_NOT_VALID or CRM_FIELD_ERROR_REQUIRED, or 100 where a list was expected.
    """
    values: dict[str, object] = dict.fromkeys(fields)
    for name, field in fields.items():
        if name in given and not field.is_read_only:
            values[name] = _read(field, given[name], utc_offset_h)
    _link_contacts(values)
    if "stageId" in fields:
        values["stageId"] = _stage(entity, values["stageId"], fields["stageId"])
    for field in fields.values():
        if field.is_required and not field.is_read_only and values[field.name] in (None, []):
            raise RestError("CRM_FIELD_ERROR_REQUIRED", f'The "{field.title}" field is required')
    return values


def invalid(field: Field) -> RestError:
    """The field's value is none that it can have."""
    return RestError("CRM_FIELD_ERROR_VALUE_NOT_VALID", f'Invalid value for field "{field.title}"')


def _read(field: Field, given: object, utc_offset_h: int) -> object:
    if not field.is_multiple:
        return None if given in (None, "", []) else _read_one(field, given, utc_offset_h)
    if given in (None, "", []):
        return []
    members = php.as_map(given)
    if members is None:
        text = f"Expected iterable value for multiple field, but got `{_php_type(given)}` instead"
        raise RestError("100", text)
    read = [_read_one(field, member, utc_offset_h) for member in members.values() if member not in (None, "")]
    return [value for value in read if value is not None]


def _read_one(field: Field, given: object, utc_offset_h: int) -> object:
    if field.kind == "file":
        return _file(given)
    if field.kind == "boolean":
        return "Y" if given is True or given in ("true", "y", "Y") else "N"  # so "1", as a batch writes it, is no
    text = php.to_string(given)
    if text is None:
        raise invalid(field)
    if field.kind in _WHOLE_KINDS:
        if not _NUMBER.fullmatch(text):
            raise invalid(field)
        return int(text)
    if field.kind == "double":
        if not _REAL.fullmatch(text):
            raise invalid(field)
        return float(text)
    if field.kind in ("date", "datetime"):
        moment = seconds_of(text)
        return None if moment is None else iso_time(moment, utc_offset_h)
    return text


def _file(given: object) -> dict[str, object] | None:
    """[name, base64] as a stored file; None, and not a word, for any other shape."""
    members = php.as_map(given) or {}
    name, content = members.get("0"), members.get("1")
    if len(members) != 2 or not isinstance(name, str) or not isinstance(content, str):
        return None
    try:
        size = len(base64.b64decode(content, validate=True))
    except (ValueError, binascii.Error):
        return None
    return {"id": 1 + size, "url": f"/file/{name}", "urlMachine": f"/rest/file/{name}"}


def _link_contacts(values: dict[str, object]) -> None:
    """The first of contactIds is contactId, and either may be given."""
    if "contactId" not in values:
        return
    listed = values["contactIds"]
    if isinstance(listed, list) and listed:
        values["contactId"] = listed[0]
    else:
        values["contactIds"] = [values["contactId"]] if values["contactId"] else []


def _stage(entity: EntityType, given: object, field: Field) -> object:
    known = STAGES.get(entity.id, (f"DT{entity.id}_1:NEW",))
    if given is None:
        return known[0]
    text = str(given)
    own = text.startswith(f"DT{entity.id}_") or (entity.id == DEAL and _DEAL_STAGE.fullmatch(text) is not None)
    if text not in known and not own:
        raise invalid(field)
    return text


def _php_type(value: object) -> str:
    kinds = ((bool, "boolean"), (int, "integer"), (float, "double"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "string")
