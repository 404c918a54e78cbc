"""What of a rule's steps does not fit its portal: a table of what the portal says, and what is noted."""

from __future__ import annotations

import pytest

from relay.core.ids import utc_now
from relay.core.plan import Requirement, StepKind, StepRequirement
from relay.core.templates import Drift, DriftKind
from workers.bitrix24.client import Answer, Fault
from workers.checks.drift import find_missing_scopes, find_step_drift

FIELD = {"type": "string", "isRequired": False, "isReadOnly": False}
KNOWN = dict.fromkeys(["id", "title", "contactId", "originatorId", "originId", "xmlId", "ufCrm_1", "opened"], FIELD)


class Portal:
    """Answers each method as it was told; notes what it was asked."""

    def __init__(self, **answers):
        self.answers = {
            "crm.item.fields": {"fields": KNOWN},
            "crm.item.list": {"items": []},
            "crm.settings.mode.get": 1,
        } | {name.replace("_", "."): answer for name, answer in answers.items()}
        self.asked = []
        self.slots = 0

    def wait(self):
        self.slots += 1
        return 0

    def call(self, method, parameters):
        self.asked.append((method, parameters))
        answer = self.answers[method]
        if isinstance(answer, Fault):
            return Answer(utc_now(), 1, fault=answer)
        if isinstance(answer, tuple):
            return Answer(utc_now(), 1, answer[0], None, answer[1], "words of the portal")
        return Answer(utc_now(), 1, 200, answer)


def make(*fields, entity="lead", type_id=1, **options):
    return StepRequirement("made", StepKind.MAKE, entity, type_id, fields, **options)


def find(*fields, entity="contact", type_id=3):
    return StepRequirement("found", StepKind.FIND, entity, type_id, fields)


def rule(*steps, template_id=12, name="r"):
    return Requirement(name, "main", template_id, ("crm", "CCrmDocumentLead", "LEAD_"), (), steps)


QUOTE = {"entity": "quote", "type_id": 7, "own_field": "ufCrm_1"}
REQUIRED = KNOWN | {"ufCrm_2": FIELD | {"isRequired": True}, "opened": FIELD | {"isRequired": True}}
TABLE = {
    "all is well": (make("title", "phone", "email", "web", "im"), {}, []),
    "a find": (find("phone", "email"), {}, []),
    "a field that it does not know": (make("title", "titel"), {}, [(DriftKind.UNKNOWN_FIELD, "titel")]),
    "and in a find": (find("nmae"), {}, [(DriftKind.UNKNOWN_FIELD, "nmae")]),
    "a field that nobody writes": (
        make("title"),
        {"crm_item_fields": {"fields": KNOWN | {"title": FIELD | {"isReadOnly": True}}}},
        [(DriftKind.READ_ONLY_FIELD, "title")],
    ),
    "which may be looked for": (
        find("id"), {"crm_item_fields": {"fields": {"id": FIELD | {"isReadOnly": True}}}}, [],
    ),
    "a custom field that it requires": (
        make("title"), {"crm_item_fields": {"fields": REQUIRED}}, [(DriftKind.REQUIRED_FIELD, "ufCrm_2")],
    ),
    "which the rule writes": (make("ufCrm_2"), {"crm_item_fields": {"fields": REQUIRED}}, []),
    "an own id that is not looked for": (
        make("title"), {"crm_item_list": (400, "INVALID_ARG_VALUE")},
        [(DriftKind.NO_OWN_ID, "originatorId and originId")],
    ),
    "of an invoice": (
        make("title", entity="invoice", type_id=31), {"crm_item_list": (400, "INVALID_ARG_VALUE")},
        [(DriftKind.NO_OWN_ID, "xmlId")],
    ),
    "an own field that is not there": (
        make("title", **(QUOTE | {"own_field": "ufCrm_9"})), {}, [(DriftKind.NO_OWN_ID, "ufCrm_9")],
    ),
    "an own field that is": (make("title", **QUOTE), {}, []),
    "a kind that it does not have": (
        make("title", entity="dynamic", type_id=150), {"crm_item_fields": (400, "NOT_FOUND")},
        [(DriftKind.NO_KIND, "NOT_FOUND")],
    ),
    "a kind that it does not describe": (
        make("title"), {"crm_item_fields": (400, "ACCESS_DENIED")}, [(DriftKind.UNDESCRIBED, "ACCESS_DENIED")],
    ),
    "a portal without leads": (make("title"), {"crm_settings_mode_get": 2}, [(DriftKind.NO_LEADS, "")]),
    "which matters to leads alone": (
        make("title", entity="deal", type_id=2), {"crm_settings_mode_get": 2}, [],
    ),
    "a portal that is away": (make("titel"), {"crm_item_fields": Fault.NOT_SENT}, []),
    "a portal that is busy": (make("titel"), {"crm_item_fields": (503, "QUERY_LIMIT_EXCEEDED")}, []),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLE.values(), ids=TABLE)
def test_what_does_not_fit_is_noted_with_its_rule_and_step(case):
    step, answers, expected = case

    found = find_step_drift(Portal(**answers), [rule(step)])

    assert [(one.kind, one.parameter) for one in found] == expected
    assert {(one.rule, one.step) for one in found} <= {("r", step.name)}
    assert all(str(one).startswith(f"rule r, step {step.name}: ") for one in found)
    assert [Drift.from_wire(one.to_wire()) for one in found] == found


def test_each_kind_of_document_is_asked_about_once_and_nothing_is_made():
    portal = Portal()
    find_step_drift(portal, [rule(find("phone"), make("title")), rule(find("name"), make("title"), name="s")])

    asked = [(method, parameters.get("entityTypeId")) for method, parameters in portal.asked]
    assert asked == [
        ("crm.item.fields", 3),
        ("crm.item.fields", 1),
        ("crm.item.list", 1),
        ("crm.settings.mode.get", None),
    ]
    assert portal.slots == len(asked), "each at the pace of the portal"


def test_a_portal_whose_rules_have_no_steps_is_asked_nothing():
    portal = Portal()

    assert find_step_drift(portal, [rule()]) == []
    assert portal.asked == []


def test_only_what_fails_or_loses_a_value_is_serious():
    kinds = {kind for kind in DriftKind if not Drift(kind, "r", 1).is_serious}

    assert kinds == {DriftKind.NO_LEADS}


USER = StepRequirement("owner", StepKind.FIND, "user", None, ("EMAIL",))


@pytest.mark.parametrize(
    ("requirement", "granted", "missing"),
    [
        (rule(), ["bizproc"], []),
        (rule(), ["crm"], ["bizproc"]),
        (rule(make("title")), ["bizproc"], ["crm"]),
        (rule(make("title"), template_id=0), ["crm"], []),
        (rule(USER), ["bizproc", "user"], []),
        (rule(USER), ["bizproc", "user_basic"], []),
        (rule(USER, make("title")), ["bizproc", "user_brief"], ["crm", "user_basic"]),
    ],
)
def test_a_scope_that_the_credential_lacks_is_named(requirement, granted, missing):
    found = find_missing_scopes([requirement], granted)

    assert [one.parameter for one in found] == missing
    assert all("lacks the scope" in str(one) for one in found)
