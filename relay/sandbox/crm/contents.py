"""What a caller's fields come to as the values of an item, and how the portal refuses them.

Facts: processFields and prepareBooleanFieldValue in crm/lib/controller/item.php (source), crm-item-add.md and
files/how-to-upload-files.md (docs). Much is passed over without a word: fields that a type does not have, read-only
ones, dates that cannot be read, files in another shape than [name, base64]. May not store anything.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

from relay.sandbox import php
from relay.sandbox.answers import RestError
from relay.sandbox.crm.fields import Field
from relay.sandbox.crm.types import DEAL, INVOICE, LEAD, QUOTE, EntityType
from relay.sandbox.rows import seconds_of
from relay.sandbox.workflows import iso_time

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
