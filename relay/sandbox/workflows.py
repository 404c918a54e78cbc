"""Workflow templates, and the workflows that were started from them.

The portal begins with ten templates; tests add others. Parameters are described as bizproc-workflow-template-list.md
lists them. May not start anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

from relay.sandbox.settings import UsageError

ON_CREATION = 1
"""AUTO_EXECUTE of a template that starts by itself on a new document (CBPDocumentEventType::Create)."""
SCRIPT = 32
"""AUTO_EXECUTE of a template that is a script (CBPDocumentEventType::Script)."""
LISTED_BELOW = 8
"""template.list shows only templates with a smaller AUTO_EXECUTE: no robots, no scripts."""

_DYNAMIC_CLASSES = "Bitrix\\Crm\\Integration\\BizProc\\Document\\"
_TEMPLATE_KEYS = frozenset(
    {"id", "name", "document_type", "parameters", "auto_execute", "first_leg_s", "waits"}
    | {"webhook_parameter", "after_s", "query"}
)
_PARAMETER_KEYS = frozenset({"Name", "Description", "Type", "Required", "Multiple", "Options", "Default"})


@dataclass(frozen=True, slots=True)
class Template:
    """A template of a business process.

    document_type: the triple [module, entity, type].
    parameters: code -> {Name, Description, Type, Required, Multiple, Options, Default}, as template.list shows them.
    first_leg_s: seconds until the first wait or the end; the start answers after it, and only then is the
        workflow to be seen among the instances.
    waits: whether it then waits for somebody; if not, it has ended.
    webhook_parameter: the parameter with the address that its last activity, "Webhook", calls; empty: it has none.
    after_s: seconds from the start until then, which is the end. query: what the activity has added to the address.
    """

    id: int
    name: str
    document_type: tuple[str, str, str]
    parameters: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    auto_execute: int = 0
    first_leg_s: float = 0.0
    waits: bool = True
    webhook_parameter: str = ""
    after_s: float = 0.0
    query: str = ""

    def defaults(self) -> dict[str, object]:
        """The Default of each parameter that has one."""
        values = {code: parameter.get("Default") for code, parameter in self.parameters.items()}
        return {code: value for code, value in values.items() if value is not None}


def declare(name: str, kind: str = "string", default: object = None) -> dict[str, object]:
    """A parameter that is neither required nor multiple."""
    return {
        "Name": name, "Description": "", "Type": kind, "Required": "0", "Multiple": "0", "Options": None,
        "Default": default,
    }  # fmt: skip


def ten_templates() -> dict[int, Template]:
    """Templates 1 to 10, one for each kind of document, all with the same four parameters."""
    parameters = {
        "Parameter1": declare("Parameter1", "user"),
        "Email": declare("Email"),
        "Phone": declare("Phone"),
        "Note": declare("Note"),
    }
    kinds = [
        ("Lead", ("crm", "CCrmDocumentLead", "LEAD")),
        ("Deal", ("crm", "CCrmDocumentDeal", "DEAL")),
        ("Contact", ("crm", "CCrmDocumentContact", "CONTACT")),
        ("Company", ("crm", "CCrmDocumentCompany", "COMPANY")),
        ("Quote", ("crm", _DYNAMIC_CLASSES + "Quote", "QUOTE")),
        ("Invoice", ("crm", _DYNAMIC_CLASSES + "SmartInvoice", "SMART_INVOICE")),
        ("Smart process 147", ("crm", _DYNAMIC_CLASSES + "Dynamic", "DYNAMIC_147")),
        ("Feed process", ("lists", "BizprocDocument", "iblock_1")),
        ("List element", ("lists", "Bitrix\\Lists\\BizprocDocumentLists", "iblock_2")),
        ("Drive file", ("disk", "Bitrix\\Disk\\BizProcDocument", "STORAGE_1")),
    ]
    return {
        number: Template(number, f"{name}: follow up", document_type, parameters)
        for number, (name, document_type) in enumerate(kinds, start=1)
    }


def template_from_json(given: object, next_id: int) -> Template:
    """A template as POST /sandbox/templates describes it: only "document_type" must be there.

    Raises UsageError with one sentence that says what was expected.
    """
    if not isinstance(given, dict) or not set(given) <= _TEMPLATE_KEYS:
        raise UsageError(f"a template is an object with some of {', '.join(sorted(_TEMPLATE_KEYS))}")
    number = given.get("id", next_id)
    if type(number) is not int or number <= 0:
        raise UsageError('"id" must be a whole number above 0')
    return Template(
        id=number,
        name=str(given.get("name", f"Template {number}")),
        document_type=_document_type(given.get("document_type")),
        parameters=_parameters(given.get("parameters", {})),
        auto_execute=int(_amount(given, "auto_execute")),
        first_leg_s=_amount(given, "first_leg_s"),
        waits=_flag(given, "waits"),
        webhook_parameter=str(given.get("webhook_parameter", "")),
        after_s=_amount(given, "after_s"),
        query=str(given.get("query", "")),
    )


def _document_type(given: object) -> tuple[str, str, str]:
    if not isinstance(given, list) or len(given) != 3 or not all(isinstance(member, str) for member in given):
        raise UsageError('"document_type" must be a list of module, entity and type')
    return (given[0], given[1], given[2])


def _parameters(given: object) -> dict[str, Mapping[str, object]]:
    if not isinstance(given, dict):
        raise UsageError('"parameters" must be an object of parameter codes')
    return {str(code): _parameter(str(code), described) for code, described in given.items()}


def _parameter(code: str, given: object) -> dict[str, object]:
    if not isinstance(given, dict) or not set(given) <= _PARAMETER_KEYS:
        raise UsageError(f"parameter {code!r} must be an object with some of {', '.join(sorted(_PARAMETER_KEYS))}")
    return {**declare(code), **given}


def _amount(given: Mapping[str, object], key: str) -> float:
    value = given.get(key, 0)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < 1e6:
        raise UsageError(f'"{key}" must be a number from 0 to 1000000')
    return float(value)


def _flag(given: Mapping[str, object], key: str) -> bool:
    value = given.get(key, True)
    if not isinstance(value, bool):
        raise UsageError(f'"{key}" must be true or false')
    return value


@dataclass(slots=True)
class Workflow:
    """One start of a template on a document.

    started_at, saved_at, modified_at: seconds since 1970. saved_at is the end of the first leg: before it the
        workflow is not among the instances, though it runs.
    ended: "completed", "terminated" or "killed"; None while it lives (or is in its first leg, after which
        `waits` decides).
    """

    id: str
    template_id: int
    document: tuple[str, str, str]
    parameters: Mapping[str, object]
    started_by: int
    started_at: float
    saved_at: float
    modified_at: float
    waits: bool
    ended: str | None = None
    status_text: str = ""

    def state(self, now: float) -> str:
        """`starting`, `running`, `completed`, `terminated` or `killed`."""
        if self.ended is not None:
            return self.ended
        if now < self.saved_at:
            return "starting"
        return "running" if self.waits else "completed"

    def end(self, how: str, now: float, status_text: str = "") -> None:
        """Stop it."""
        self.ended, self.modified_at, self.status_text = how, now, status_text

    def to_json(self, now: float) -> dict[str, object]:
        """As GET /sandbox/workflows shows it."""
        return {
            "id": self.id,
            "template": self.template_id,
            "document": list(self.document),
            "parameters": dict(self.parameters),
            "started": utc_time(self.started_at),
            "started_by": self.started_by,
            "state": self.state(now),
        }


def iso_time(seconds: float, utc_offset_h: int = 0) -> str:
    """ISO 8601 with the offset, in whole seconds, as PHP's DATE_ATOM writes it."""
    zone = UTC if utc_offset_h == 0 else timezone(timedelta(hours=utc_offset_h))
    return datetime.fromtimestamp(int(seconds), zone).isoformat()


def utc_time(seconds: float) -> str:
    """ISO 8601 in UTC with milliseconds, for the sandbox's own lists."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
