"""The JSON Schema of rules with what one portal has: its templates by name, fields, stages and users, for an editor.

It asks only. What a scope or a right hides is left open, as in the schema without a portal, and is said. Bitrix24
checks no parameter of a start and drops a field that it does not know, so an editor that knows better saves a look at
the portal. Sources: docs api-reference/crm/universal/crm-item-fields.md (statusType, items),
crm/status/crm-status-list.md, crm/universal/user-defined-object-types/crm-type-list.md, user/user-get.md.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relay.core.errors import RelayError
from relay.core.plan import COMMUNICATIONS, DYNAMIC, SOUGHT_BY, TYPE_IDS, USERS, WITH_COMMUNICATIONS
from relay.core.printing import say
from relay.core.templates import PortalTemplate
from workers.bitrix24.client import Answer
from workers.checks.drift import FIELDS_METHOD, PAGES, read_templates
from workers.checks.ping import trouble_of
from workers.portal.client import PacedClient
from workers.portal.context import Context

JsonSchema = dict[str, Any]
STATUSES, TYPES = "crm.status.list", "crm.type.list"
USER_SCOPES = {"user", "user_basic", "user_brief"}
_STAGES = re.compile(r"(.*STAGE)(_[0-9]+)?")
"""A list of stages: of the main pipeline, or of the pipeline with this number."""
_TEMPLATE = "\\{"
"""A text with a {name} in it, which stands for anything."""


@dataclass
class Hidden:
    """The parts that could not be asked for, in words."""

    lines: list[str] = field(default_factory=list)

    def add(self, what: str, why: str) -> None:
        """Something is left open."""
        self.lines.append(f"{what}: left open, {why}")


def print_schema(context: Context) -> int:
    """Print the schema on stdout, and what was hidden on stderr; 1 if the portal does not answer."""
    hidden = Hidden()
    try:
        schema = schema_for(context, _of_rules(), hidden)
    except RelayError as error:
        say(f"{context.portal.name}: {error}", error=True)
        return 1
    say(json.dumps(schema, ensure_ascii=False, indent=1))
    for line in hidden.lines:
        say(f"{context.portal.name}: {line}", error=True)
    return 0


def _of_rules() -> JsonSchema:
    """The schema without a portal. Workers do not parse rules: the other side of the house prints it."""
    command = [sys.executable, "-m", "relay", "schema", "rules"]
    done = subprocess.run(  # noqa: S603 - a command of ours
        command, cwd=Path(__file__).resolve().parents[2], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RelayError(f"no schema of rules: {done.stderr.strip()}")
    schema: JsonSchema = json.loads(done.stdout)
    return schema


def schema_for(context: Context, rules: JsonSchema, hidden: Hidden) -> JsonSchema:
    """The schema of rules, and for rules of this portal what it has. Raises RelayError if it does not answer."""
    client, name = context.client, context.portal.name
    scope = _ask(client, "scope", {})
    if not isinstance(scope.result, list):
        raise RelayError(trouble_of(scope).words)
    start: JsonSchema = {}
    sections: JsonSchema = {}
    if "bizproc" in scope.result:
        start = _templates(context, hidden)
    else:
        hidden.add("templates", "the credential lacks the scope bizproc")
    if "crm" in scope.result:
        users = _users(client, scope.result, hidden)
        sections = _sections(client, users, hidden)
    else:
        hidden.add("fields, stages and users", "the credential lacks the scope crm")
    there = {"properties": {"start": start, **sections}}
    return {**rules, "title": f"{rules['title']}, for the portal {name}", "if": _is_for(name), "then": there}


def _is_for(portal: str) -> JsonSchema:
    """A rule for this portal."""
    named = {"required": ["portal"], "properties": {"portal": {"const": portal}}}
    return {"anyOf": [{"required": [end], "properties": {end: named}} for end in ("start", "trigger")]}


# Templates


def _templates(context: Context, hidden: Hidden) -> JsonSchema:
    """A start of one of the templates. It may name any other where more are there than were read."""
    rows, answer, is_cut = read_templates(context)
    if not isinstance(answer.result, list):
        hidden.add("templates", trouble_of(answer).words)
        return {}
    templates = [PortalTemplate.from_row(number, row) for number, row in rows.items()]
    if is_cut or not templates:
        hidden.add("further templates" if is_cut else "templates", f"{len(templates)} were read")
    known = [
        _constant(one.id, f"{one.name} ({one.document_type[-1]})" if one.document_type else one.name)
        for one in templates
    ]
    if not known:
        return {}
    number = {} if is_cut else {"oneOf": known}
    return {"properties": {"template_id": number}, "allOf": [_parameters(one) for one in templates]}


def _parameters(template: PortalTemplate) -> JsonSchema:
    """The parameters of a template, for a start that names it."""
    described = {
        one.id: {"title": one.title, "description": _words(one.title, one.kind, "required" if one.is_required else "")}
        for one in template.parameters
    }
    names: JsonSchema = {"propertyNames": {"enum": list(described)}} if described else {"maxProperties": 0}
    is_it = {"required": ["template_id"], "properties": {"template_id": {"const": template.id}}}
    return {"if": is_it, "then": {"properties": {"parameters": {"properties": described, **names}}}}


# Documents

Described = Mapping[str, Mapping[str, Any]]
"""The fields of a kind of document, as crm.item.fields describes them."""
ValueOf = Callable[[str, Mapping[str, Any]], JsonSchema]
"""The values of a field, by its name."""


def _sections(client: PacedClient, users: JsonSchema, hidden: Hidden) -> JsonSchema:
    """`find` and `make`, with the fields of each kind of document."""
    value_of = _values(_statuses(client, hidden), users)
    kinds = {kind: found for kind, number in TYPE_IDS.items() if (found := _fields(client, number, kind, hidden))}
    smart = [
        (number, title, found)
        for number, title in _types(client, hidden)
        if (found := _fields(client, number, title, hidden))
    ]
    sections = {}
    for section, communications in (("find", SOUGHT_BY), ("make", COMMUNICATIONS)):
        entries: JsonSchema = {}
        for kind, described in kinds.items():
            more = communications if kind in WITH_COMMUNICATIONS else ()
            entries[kind] = _map_of(described, more, value_of, is_written=section == "make")
        if smart:
            entries[DYNAMIC] = _dynamic(smart, value_of, is_written=section == "make")
        sections[section] = {"additionalProperties": {"properties": entries}}
    return sections


def _map_of(described: Described, more: Iterable[str], value_of: ValueOf, *, is_written: bool) -> JsonSchema:
    """The fields that a step may name. is_written: those that nobody can write are none of them."""
    names = [name for name, one in described.items() if not (is_written and one.get("isReadOnly") is True)]
    return {
        "propertyNames": {"enum": [*more, *names]},
        "properties": {name: value_of(name, described[name]) for name in names},
    }


def _dynamic(smart: Iterable[tuple[int, str, Described]], value_of: ValueOf, *, is_written: bool) -> JsonSchema:
    """Smart processes by name; the second member of the list has the fields of the first."""
    kinds = list(smart)
    fields = [
        {
            "if": {"items": [{"const": number}]},
            "then": {"items": [{}, _map_of(described, (), value_of, is_written=is_written)]},
        }
        for number, _, described in kinds
    ]
    return {"items": [{"oneOf": [_constant(number, title) for number, title, _ in kinds]}], "allOf": fields}


def _fields(client: PacedClient, number: int, kind: str, hidden: Hidden) -> Described | None:
    answer = _ask(client, FIELDS_METHOD, {"entityTypeId": number})
    described = answer.result.get("fields") if isinstance(answer.result, Mapping) else None
    if not isinstance(described, Mapping):
        hidden.add(f"fields of {kind}", trouble_of(answer).words)
        return None
    return {str(name): one if isinstance(one, Mapping) else {} for name, one in described.items()}


def _types(client: PacedClient, hidden: Hidden) -> Iterator[tuple[int, str]]:
    """The smart processes: entityTypeId and title."""
    for row in _rows(client, TYPES, {}, "smart processes", hidden):
        if isinstance(number := row.get("entityTypeId"), int):
            yield number, str(row.get("title") or number)


def _statuses(client: PacedClient, hidden: Hidden) -> dict[str, list[JsonSchema]]:
    """The entries of each list of the CRM, in order: stages, sources, and so on."""
    found: dict[str, list[JsonSchema]] = {}
    for row in _rows(client, STATUSES, {"order": {"SORT": "ASC"}}, "stages and other lists", hidden):
        entries = found.setdefault(str(row.get("ENTITY_ID")), [])
        entries.append(_constant(str(row.get("STATUS_ID")), str(row.get("NAME"))))
    return found


def _users(client: PacedClient, scope: Iterable[Any], hidden: Hidden) -> JsonSchema:
    """A user by name; anything if nobody may be listed."""
    if not USER_SCOPES & set(scope):
        hidden.add("users", "the credential lacks the scope user_brief")
        return {}
    wanted = {"FILTER": {"ACTIVE": True}, "select": ["ID", "NAME", "LAST_NAME", "WORK_POSITION"]}
    people = [
        _constant(
            int(row["ID"]), _words(f"{row.get('NAME') or ''} {row.get('LAST_NAME') or ''}", row.get("WORK_POSITION"))
        )
        for row in _rows(client, USERS, wanted, "users", hidden)
        if str(row.get("ID")).isdigit()
    ]
    return _or_template(people, "[0-9]+")


def _values(statuses: Mapping[str, list[JsonSchema]], users: JsonSchema) -> ValueOf:
    """How the values of a field look, by its type."""

    def value_of(name: str, described: Mapping[str, Any]) -> JsonSchema:
        shape: JsonSchema = {}
        if described.get("type") == "user":
            shape = users
        elif described.get("type") == "crm_status":
            shape = _or_template(_entries_of(str(described.get("statusType")), statuses))
        elif isinstance(items := described.get("items"), list):
            rows = [row for row in items if isinstance(row, Mapping) and str(row.get("ID")).isdigit()]
            shape = _or_template([_constant(int(row["ID"]), str(row.get("VALUE"))) for row in rows], "[0-9]+")
        if shape and described.get("isMultiple") is True:
            shape = {"anyOf": [shape, {"type": "array", "items": shape}]}
        title = str(described.get("title") or name)
        return {"title": title, "description": _words(title, described.get("type")), **shape}

    return value_of


def _entries_of(kind: str, statuses: Mapping[str, list[JsonSchema]]) -> list[JsonSchema]:
    """The entries of a list; of stages, those of every pipeline: their codes name it."""
    found = _STAGES.fullmatch(kind)
    names = [name for name in statuses if found and (other := _STAGES.fullmatch(name)) and other[1] == found[1]]
    known = {entry["const"]: entry for name in names or [kind] for entry in statuses.get(name, [])}
    return list(known.values())


def _or_template(constants: list[JsonSchema], more: str = "") -> JsonSchema:
    """One of these, or a text with a {name}. more: a pattern of other texts that are right."""
    if not constants:
        return {}
    pattern = f"{_TEMPLATE}|^(?:{more})$" if more else _TEMPLATE
    return {"anyOf": [{"oneOf": constants}, {"type": "string", "pattern": pattern}]}


def _constant(value: int | str, title: str) -> JsonSchema:
    # Some editors show the one beside the value, some the other.
    return {"const": value, "title": title, "description": title}


def _words(*words: Any) -> str:
    return ", ".join(text for word in words if (text := str(word or "").strip()))


def _rows(
    client: PacedClient, method: str, wanted: Mapping[str, Any], what: str, hidden: Hidden
) -> Iterator[Mapping[str, Any]]:
    """The rows of a list, up to PAGES pages. The newer methods have them under a name of their own."""
    start: Any = 0
    for _ in range(PAGES):
        answer = _ask(client, method, {**wanted, "start": start})
        rows = next(iter(answer.result.values()), None) if isinstance(answer.result, dict) else answer.result
        if not isinstance(rows, list):
            hidden.add(what, trouble_of(answer).words)
            return
        yield from (row for row in rows if isinstance(row, Mapping))
        start = answer.payload.get("next")
        if not isinstance(start, int):
            return
    hidden.add(f"further {what}", f"{PAGES} pages were read")


def _ask(client: PacedClient, method: str, parameters: Mapping[str, Any]) -> Answer:
    client.wait()
    return client.call(method, parameters)
