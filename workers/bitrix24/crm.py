"""The methods that find and make documents: their parameters and answers. Pure.

Sources: docs api-reference/crm/universal (crm.item.add, .import, .list), crm/duplicates (crm.duplicate.findbycomm),
crm/automation (crm.automation.trigger), crm/data-types.md (crm_multifield), user/user-get.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from relay.core.phones import ways_to_write
from relay.core.plan import COMMUNICATIONS, FIND_BY_COMM, SOUGHT_BY, USERS, Many, Step, own_id_fields

ORIGINATOR = "relay"
"""The `originatorId` of every document that the relay has made."""
ID = re.compile(r"[1-9][0-9]{0,17}")
VALUES_AT_ONCE = 20
"""Telephone numbers or addresses that one question may name."""


def own_id_of(origin: str, step: str) -> str:
    """The own id in a made document: the first delivery of a chain of replays, and the step. The same at every try."""
    return f"{origin}/{step}"


def questions_of(step: Step, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The questions of a find, to be asked in order until one finds something.

    values: of the step, with content; without any there is nothing to ask.
    """
    if not values:
        return []
    if step.method == FIND_BY_COMM:
        return [question for name in SOUGHT_BY if name in values for question in _by_comm(step, name, values[name])]
    if step.method == USERS:
        return [_of_users(step, values)]
    return [_of_items(step, {_operator(value) + name: _sought(name, value) for name, value in values.items()})]


def looking_of(step: Step, own_id: str) -> dict[str, Any]:
    """The question that finds, by our own id, what this step may have made before."""
    return _of_items(step, {f"={name}": value for name, value in _own_values(step, own_id).items()}, Many.OLDEST)


def making_of(step: Step, values: Mapping[str, Any], own_id: str) -> dict[str, Any]:
    """The parameters of `crm.item.add` and `crm.item.import`. values: of the step, with content.

    Numbers and addresses are one list, `fm`, for the one; the other ignores it and has a field for each kind
    (docs: crm/universal/import/crm-item-import.md; source: importAction in crm/lib/controller/item.php).
    """
    fields = {name: _written(value) for name, value in values.items() if name not in COMMUNICATIONS}
    reached = {name.upper(): _listed(values[name]) for name in COMMUNICATIONS if name in values}
    if reached and step.is_quiet:
        fields |= {kind: [{"VALUE": str(one), "VALUE_TYPE": _sort(kind)} for one in reached[kind]] for kind in reached}
    elif reached:
        fields["fm"] = [
            {"typeId": kind, "valueType": _sort(kind), "value": str(one)} for kind in reached for one in reached[kind]
        ]
    return {"entityTypeId": step.type_id, "fields": fields | _own_values(step, own_id)}


def firing_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of `crm.automation.trigger`."""
    return {"target": str(values.get("target", "")), "code": str(values.get("code", ""))}


def found_in(step: Step, method: str, result: Any) -> list[int] | None:
    """The ids in an answer; None where it does not answer the question. Nothing found is `[]`."""
    if method == FIND_BY_COMM:
        # PHP writes an empty map as a list, and leaves out a kind of which there is none.
        if not isinstance(result, Mapping):
            return [] if result == [] else None
        return _ids(result.get(step.entity.upper(), []))
    if method == USERS:
        return _ids([row.get("ID") for row in _rows(result)]) if isinstance(result, list) else None
    if not isinstance(result, Mapping) or not isinstance(result.get("items"), list):
        return None
    return _ids([row.get("id") for row in _rows(result["items"])])


def ignored_in(step: Step, method: str, result: Any) -> list[str]:
    """The fields of a user filter that the portal ignored.

    It ignores fields that it does not have or that the credential's scope hides, in the filter and in the answer,
    without an error: it finds somebody else then (source: prepareUserFilter, getUserData in rest/lib/api/user.php).
    """
    if method != USERS or not isinstance(result, list):
        return []
    rows = _rows(result)
    return [name for name in map(_name_of_users, step.values) if any(name not in row for row in rows)]


def made_in(result: Any) -> int | None:
    """The id of the made document in an answer; None without one."""
    item = result.get("item") if isinstance(result, Mapping) else None
    return next(iter(_ids([item.get("id")]) or []), None) if isinstance(item, Mapping) else None


def _by_comm(step: Step, name: str, value: Any) -> Iterator[dict[str, Any]]:
    given = [str(one) for one in _listed(value)]
    spelled = [one for text in given for one in (ways_to_write(text) if name == "phone" else [text.strip()])]
    spelled = [one for one in dict.fromkeys(spelled) if one]
    for begin in range(0, len(spelled), VALUES_AT_ONCE):
        values = spelled[begin : begin + VALUES_AT_ONCE]
        yield {"type": name.upper(), "values": values, "entity_type": step.entity.upper()}


def _of_users(step: Step, values: Mapping[str, Any]) -> dict[str, Any]:
    # Inactive users are not found. The filter's fields are selected too: see `ignored_in`.
    named = {_name_of_users(name): value for name, value in values.items()}
    wanted = list(dict.fromkeys(["ID", *named]))
    return {"FILTER": {**named, "ACTIVE": True}, "select": wanted, "sort": "ID", "order": _order(step.many)}


def _name_of_users(name: str) -> str:
    """The name of a field in user.get: `lastName` is LAST_NAME there."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()


def _of_items(step: Step, wanted: Mapping[str, Any], many: Many | None = None) -> dict[str, Any]:
    # Without a count (`start` -1) the answer comes in a fraction of the time.
    order = {"id": _order(many or step.many)}
    return {"entityTypeId": step.type_id, "filter": dict(wanted), "select": ["id"], "order": order, "start": -1}


def _order(many: Many) -> str:
    return "ASC" if many is Many.OLDEST else "DESC"


def _operator(value: Any) -> str:
    return "@" if isinstance(value, list | tuple) else "="


def _sought(name: str, value: Any) -> Any:
    # A custom field of yes and no is filtered with 1 and 0, though it is written with Y and N (crm-item-list.md).
    return int(value) if isinstance(value, bool) and name.startswith("uf") else _written(value)


def _written(value: Any) -> Any:
    if isinstance(value, bool):
        return "Y" if value else "N"
    return list(value) if isinstance(value, tuple) else value


def _sort(kind: str) -> str:
    """The value type of a number or address: WORK, but OTHER for a messenger, which has no WORK."""
    return "OTHER" if kind == "IM" else "WORK"


def _own_values(step: Step, own_id: str) -> dict[str, str]:
    fields = own_id_fields(step.entity, step.own_field)
    return dict(zip(fields, (ORIGINATOR, own_id) if len(fields) > 1 else (own_id,), strict=True))


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else (value,)


def _rows(rows: Sequence[Any]) -> list[Mapping[str, Any]]:
    return [row for row in rows if isinstance(row, Mapping)]


def _ids(values: Any) -> list[int] | None:
    """Ids as whole numbers, which some methods write as text; None where one is none."""
    if not isinstance(values, list) or not all(ID.fullmatch(str(value)) for value in values):
        return None
    return [int(value) for value in values]
