"""What a rule finds and makes before its start: every mistake in it with its line, and the plan that comes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.core.errors import ConfigError, InvalidEventError
from relay.core.events import CallbackSettings, Intent
from relay.core.placeholders import Placeholder, PlaceholderValue
from relay.core.plan import STOP, Call, Comment, Many, Plan, Requirement, StepKind
from relay.rules import Rule, load_rules

EXTRACT = """\
name: one
source: site
extract:
  name: {from: body.name}
  phone: {from: body.phone, type: phone}
  email: {from: body.email, type: email}
  tags: {from: body.tags, type: list}
  vip: {from: body.vip, type: boolean}
  file: {from: body.file.name}
  content: {from: body.file.content}
"""
START = "start: {portal: main, template_id: 12, document_id: {lead: 1}}\n"
CLIENT = 'find: {client: {contact: {phone: "{phone}"}}}\n'
LEAD = "make: {lead: {lead: {title: x}}}\n"
ON_LEAD = 'start: {portal: main, template_id: 12, document_id: {lead: "{lead}"}}\n'
TRIGGER = "trigger: {portal: main, document_id: {deal: 7}, code: nwly5}\n"


def load(folder: Path, *parts: str) -> Rule:
    (folder / "one.yaml").write_text(EXTRACT + "".join(parts), "utf-8")
    return load_rules(folder, sources=["site"], portals=["main", "other"]).get("one")


def intent_of(rule: Rule, **body: Any) -> Intent:
    return rule.to_intent({"body": body, "headers": {}, "query": {}, "source": "site", "received_at": ""})


def plan_of(rule: Rule, **body: Any) -> Plan:
    plan = intent_of(rule, **body).plan
    assert plan
    return plan


def on_start(document: str) -> str:
    return f"start: {{portal: main, template_id: 12, document_id: {document}}}\n"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        # The kind
        (["find: {a: {contcat: {name: x}}}\n"], ":11: find.a.contcat: unknown key; did you mean 'contact'?"),
        (["find: {a: {many: newest}}\n"], ":11: find.a: found a map, expected one kind of lead, deal, contact"),
        (["find: {a: {lead: {name: x}, deal: {title: x}}}\n"], "find.a: found lead and deal, expected one kind"),
        (["find: {a: {lead: x}}\n"], "find.a.lead: found 'x', expected a map from fields to"),
        (["find: {a: {lead: {}}}\n"], "find.a.lead: found a map, expected a map from fields to"),
        (["make: {a: {user: {email: x}}}\n"], "make.a.user: a rule makes no users: expected one of lead, deal"),
        (["find: {a: {dynamic: {title: x}}}\n"], "find.a.dynamic: found a map, expected [entityTypeId, a map"),
        (["find: {a: {dynamic: [2, {title: x}]}}\n"], "find.a.dynamic.0: found 2, expected the entityTypeId of a smar"),
        (["find: {a: {dynamic: [147, {Title: x}]}}\n"], "find.a.dynamic.1.Title: not a field: expected it as crm.item"),
        # Options
        (["find: {a: {lead: {name: x}, many: first}}\n"], "find.a.many: found 'first', expected one of newest, oldest"),
        (["find: {a: {lead: {name: x}, none: 0}}\n"], "find.a.none: found 0, expected nothing, stop, or an id"),
        (["find: {a: {lead: {name: x}, none: [1]}}\n"], "find.a.none: found a list, expected nothing, stop, or an id"),
        (["find: {a: {lead: {name: x}, none: }}\n"], "find.a.none: found nothing, expected nothing, stop, or an id"),
        (["find: {a: {lead: {name: x}, keep: 8d}}\n"], "find.a.keep: found '8d', expected a whole number with one of"),
        (["find: {a: {lead: {name: x}, unless: b}}\n"], "find.a.unless: unknown key"),
        (["make: {a: {lead: {name: x}, quietly: yes}}\n"], "make.a.quietly: found 'yes', expected true or false"),
        (["make: {a: {lead: {name: x}, keep: 1h}}\n"], "make.a.keep: unknown key"),
        (["make: {a: {quote: {title: x}}}\n"], "make.a.own_field: missing: expected a field of your own on quotes"),
        (["make: {a: {quote: {title: x}, own_field: xmlId}}\n"], "make.a.own_field: found 'xmlId', expected a field o"),
        (["make: {a: {quote: {ufCrm_1: x}, own_field: ufCrm_1}}\n"], "make.a.own_field: is the relay's to write"),
        (["make: {a: {lead: {name: x}, own_field: ufCrm_1}}\n"], "make.a.own_field: is for quotes"),
        # Fields
        (["find: {a: {deal: {phone: x}}}\n"], "find.a.deal.phone: a deal has none of its own: expected a find of its"),
        (["find: {a: {contact: {web: x}}}\n"], "find.a.contact.web: nothing is looked for by it: expected phone or em"),
        (["find: {a: {contact: {email: x, name: y}}}\n"], "find.a.contact.name: is beside email, by which alone is"),
        (["find: {a: {contact: {name: [x]}}}\n"], "find.a.contact.name: found a list, expected text, numbers, true"),
        (["find: {a: {contact: {name: }}}\n"], "find.a.contact.name: found nothing, expected text, numbers, true or"),
        (['find: {a: {contact: {name: "{tags}"}}}\n'], "find.a.contact.name: {tags} is a list: expected one value"),
        (["find: {a: {user: {mail: x}}}\n"], "find.a.user.mail: users are not looked for by it; did you mean 'email'?"),
        (["make: {a: {deal: {email: x}}}\n"], "make.a.deal.email: a deal has none of its own: expected it on its cont"),
        (["make: {a: {lead: {fm: x}}}\n"], "make.a.lead.fm: is made by the relay of phone, email, web, im"),
        (["make: {a: {lead: {id: 1}}}\n"], "make.a.lead.id: is the portal's to give"),
        *(
            ([f"make: {{a: {{lead: {{{name}: x}}}}}}\n"], f"make.a.lead.{name}: the relay writes its own id there")
            for name in ("originId", "originatorId")
        ),
        (["make: {a: {invoice: {xmlId: x}}}\n"], "make.a.invoice.xmlId: the relay writes its own id there"),
        (["make: {a: {dynamic: [147, {xmlId: x}]}}\n"], "make.a.dynamic.1.xmlId: the relay writes its own id there"),
        (["make: {a: {lead: {UF_CRM_1: x}}}\n"], "make.a.lead.UF_CRM_1: not a field: expected it as crm.item.fields"),
        (["make: {a: {lead: {name: {a: b}}}}\n"], "make.a.lead.name: found a map, expected text, numbers, true or fal"),
        (["make: {a: {lead: {name: [[[x]]]}}}\n"], "make.a.lead.name: found a list, expected text, numbers"),
        # Names
        (["find: {name: {lead: {title: x}}}\n"], "find.name: is also the name of a value of extract: expected another"),
        ([CLIENT, "make: {client: {contact: {name: x}}}\n"], "make.client: is also the name of a find: expected anoth"),
        (["find: {trigger: {lead: {title: x}}}\n"], "find.trigger: is the name of a trigger's step"),
        (["find: {a-b: {lead: {title: x}}}\n"], "find.a-b: not a name: expected letters, digits and _"),
        (['find: {a: {lead: {title: "{a}"}}}\n'], "find.a.lead.title: {a} has no value yet: a step may use those befo"),
        (['find: {a: {lead: {title: "{b}"}}, b: {lead: {title: x}}}\n'], "find.a.lead.title: {b} has no value yet"),
        (['find: {a: {lead: {title: "{lead}"}}}\n', LEAD], "find.a.lead.title: {lead} has no value yet"),
        (['find: {a: {lead: {title: "{nmae}"}}}\n'], "find.a.lead.title: {nmae} is not among the values of this rule;"),
        # Find or make
        (["make: {a: {lead: {title: x}, unless: known}}\n"], "make.a.unless: there is no find 'known'"),
        ([CLIENT, "make: {a: {contact: {name: x}, unless: cleint}}\n"], "there is no find 'cleint': expected one of c"),
        ([CLIENT, "make: {a: {lead: {title: x}, unless: client}}\n"], "make.a.unless: client is a contact, and can ne"),
        (
            [CLIENT.replace('}}}', '}, none: stop}}'), "make: {a: {contact: {name: x}, unless: client}}\n"],
            "make.a.unless: client is never nothing, so that nothing would ever be made",
        ),
    ],
)  # fmt: skip
def test_a_step_that_could_not_work_is_a_mistake_with_its_line(tmp_path: Path, parts: list[str], expected: str) -> None:
    assert_only_mistake(tmp_path, [*parts, START], expected)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([], ":1: start: missing: expected a map with portal, template_id and document_id, or a trigger"),
        ([LEAD], "start: missing: expected a map with portal, template_id and document_id, or a trigger"),
        (["trigger: {portal: main, document_id: {deal: 7}}\n"], ":11: trigger.code: missing: expected the code of a"),
        (["trigger: {portal: main, document_id: {deal: 7}, code: a b}\n"], "trigger.code: found 'a b', expected the c"),
        (["trigger: {portal: mian, document_id: {deal: 7}, code: a}\n"], "trigger.portal: unknown portal 'mian'; did"),
        (["trigger: {portal: main, document_id: {file: 7}, code: a}\n"], "trigger.document_id: is no document of CRM"),
        (["trigger: {portal: other, document_id: {deal: 7}, code: a}\n", START], "trigger.portal: expected main, wher"),
        ([CLIENT, on_start('{contact: "{client}"}')], "{client} may be nothing: expected `none: stop` or a number in"),
        ([LEAD, on_start('{deal: "{lead}"}')], 'start.document_id: {lead} is a lead: expected {lead: "{lead}"}'),
        (
            ["make: {a: {dynamic: [147, {title: x}]}}\n", on_start('{dynamic: [148, "{a}"]}')],
            'start.document_id: {a} is a dynamic: expected {dynamic: [147, "{a}"]}',
        ),
        (["find: {a: {user: {id: 1}, none: 1}}\n", on_start('{lead: "{a}"}')], "{a} is a user: users have no workflow"),
        ([LEAD, on_start('{lead: "1{lead}"}')], "found '1{lead}', which is never a number: expected {lead: \"{lead}\""),
        (["order_by: document\n", LEAD, ON_LEAD], ":11: order_by: the document is known only when {lead} is, too late"),
        (
            [START.replace("}}", "}, watch: {within: 7d}}")],
            ":11: start.watch.callback: missing: expected the parameter that takes the address",
        ),
        (
            [START.replace("}}", "}, parameters: {Back: x}, watch: {callback: Back, within: 7d}}")],
            "start.watch.callback: Back is among the parameters: expected one that the rule leaves alone",
        ),
        ([START.replace("}}", "}, watch: {callback: TargetUser, within: 7d}}")], "start.watch.callback: Bitrix24 keep"),
    ],
)  # fmt: skip
def test_an_end_that_does_not_fit_the_steps_is_a_mistake_with_its_line(
    tmp_path: Path, parts: list[str], expected: str
) -> None:
    assert_only_mistake(tmp_path, parts, expected)


def assert_only_mistake(folder: Path, parts: list[str], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(folder, *parts)
    found = [str(mistake).removeprefix(f"{folder}/one.yaml") for mistake in caught.value.mistakes]
    assert len(found) == 1, found
    assert expected in found[0]


def test_every_mistake_of_every_step_comes_at_once_and_none_that_only_follows(tmp_path: Path) -> None:
    steps = """\
find:
  client: {contact: {phone: "{fone}", nmae: x}, many: some}
  owner: {user: {email: "{client}"}, nnoe: 1}
make:
  lead: {lead: {title: "{owner} {deal}", contactId: "{client}"}}
  deal: {deal: {title: "{lead}"}, quietly: sometimes}
"""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, steps, ON_LEAD)

    assert [str(mistake).removeprefix(f"{tmp_path}/one.yaml:") for mistake in caught.value.mistakes] == [
        "12: find.client.many: found 'some', expected one of newest, oldest, stop",
        "12: find.client.contact.nmae: is beside phone, by which alone is looked: expected no other",
        "12: find.client.contact.phone: {fone} is not among the values of this rule; did you mean 'phone'?",
        "13: find.owner.nnoe: unknown key; did you mean 'none'?",
        "15: make.lead.lead.title: {deal} has no value yet: a step may use those before it",
        "16: make.deal.quietly: found 'sometimes', expected true or false",
    ]


def test_a_misspelled_section_hides_no_name_that_may_stand_under_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "fnid: {client: {contact: {phone: x}}}\n", 'make: {a: {lead: {title: "{client}"}}}\n', START)

    assert [mistake.text for mistake in caught.value.mistakes] == ["fnid: unknown key; did you mean 'find'?"]


# What comes of it

CALLBACK = """\
find:
  client: {contact: {phone: "{phone}", email: "{email}"}, many: oldest, keep: 1h}
  owner: {user: {email: "{email}"}, none: 1}
  known: {lead: {contactId: "{client}", statusId: NEW}, none: nothing}
make:
  lead:
    lead: {title: "Callback: {name}, {client}", phone: ["{phone}", "+7"], contactId: "{client}", opened: true}
    unless: known
    quietly: true
start:
  portal: main
  template_id: 12
  document_id: {lead: "{lead}"}
  parameters: {Manager: "user_{owner}", Name: "{name}", All: ["{name}", "{lead}"]}
"""
PHONE = "+79990000000"


def test_a_rule_becomes_steps_with_literal_values_and_places_for_what_only_the_portal_knows(tmp_path: Path) -> None:
    intent = intent_of(load(tmp_path, CALLBACK), name="Ann", phone=PHONE)

    assert intent.plan
    client, owner, known, lead = intent.plan.steps
    assert (client.name, client.kind, client.entity, client.type_id) == ("client", StepKind.FIND, "contact", 3)
    assert (client.values, client.many, client.keep_s) == ({"phone": PHONE, "email": ""}, Many.OLDEST, 3600)
    assert (owner.entity, owner.type_id, owner.values, owner.none) == ("user", None, {"EMAIL": ""}, 1)
    assert known.values == {"contactId": PlaceholderValue((Placeholder("client"),)), "statusId": "NEW"}
    assert (lead.kind, lead.unless, lead.is_quiet) == (StepKind.MAKE, "known", True)
    assert lead.values == {
        "title": PlaceholderValue(("Callback: Ann, ", Placeholder("client")), has_value=True),
        "phone": [PHONE, "+7"],
        "contactId": PlaceholderValue((Placeholder("client"),)),
        "opened": True,
    }
    assert intent.plan.call == Call(
        "main",
        12,
        ("crm", "CCrmDocumentLead", PlaceholderValue(("LEAD_", Placeholder("lead")))),  # type: ignore[arg-type] # until it is filled
        {
            "Manager": PlaceholderValue(("user_", Placeholder("owner"))),
            "Name": "Ann",
            "All": ["Ann", PlaceholderValue((Placeholder("lead"),))],
        },
    )
    assert intent.call.document_id[2] == "LEAD_{lead}"
    assert intent.call.parameters == {"Manager": "user_{owner}", "Name": "Ann", "All": ["Ann", "{lead}"]}
    assert intent.personal == (PHONE,)


def test_a_rule_without_steps_has_no_plan(tmp_path: Path) -> None:
    assert intent_of(load(tmp_path, START)).plan is None


@pytest.mark.parametrize(
    ("document", "filled"),
    [
        ('{lead: "{lead}"}', ("crm", "CCrmDocumentLead", "LEAD_5")),
        ('[crm, CCrmDocumentLead, "LEAD_{lead}"]', ("crm", "CCrmDocumentLead", "LEAD_5")),
        ('{dynamic: [147, "{item}"]}', ("crm", r"Bitrix\Crm\Integration\BizProc\Document\Dynamic", "DYNAMIC_147_6")),
        ('{contact: "{client}"}', ("crm", "CCrmDocumentContact", "CONTACT_17")),
    ],
)
def test_a_document_that_a_step_comes_to_is_named_as_any_other(
    tmp_path: Path, document: str, filled: tuple[str, str, str]
) -> None:
    steps = """\
find: {client: {contact: {phone: "{phone}"}, none: stop}}
make: {lead: {lead: {title: x}}, item: {dynamic: [147, {title: x}]}}
"""
    plan = plan_of(load(tmp_path, steps, on_start(document)))

    assert plan.filled({"client": 17, "lead": 5, "item": 6}).document_id == filled
    assert plan.steps[0].none == STOP


def test_a_trigger_is_the_last_step_before_the_start(tmp_path: Path) -> None:
    trigger = 'trigger: {portal: main, document_id: {lead: "{lead}"}, code: nwly5}\n'
    plan = plan_of(load(tmp_path, LEAD, trigger, ON_LEAD))

    assert [step.kind for step in plan.steps] == [StepKind.MAKE, StepKind.TRIGGER]
    assert plan.steps[-1].filled({"lead": 5}) == {"target": "LEAD_5", "code": "nwly5"}
    assert plan.call.starts_workflow


def test_a_trigger_alone_starts_no_workflow_on_its_document(tmp_path: Path) -> None:
    intent = intent_of(load(tmp_path, TRIGGER))

    assert not intent.call.starts_workflow
    assert intent.call == Call("main", 0, ("crm", "CCrmDocumentDeal", "DEAL_7"), {})
    assert intent.plan
    assert [step.filled({}) for step in intent.plan.steps] == [{"target": "DEAL_7", "code": "nwly5"}]


def test_the_document_of_a_trigger_has_to_be_named_too(tmp_path: Path) -> None:
    rule = load(tmp_path, 'trigger: {portal: main, document_id: {deal: "{name}"}, code: a}\n')

    with pytest.raises(InvalidEventError) as caught:
        intent_of(rule, name="no number")
    assert list(caught.value.errors) == ["name"]


@pytest.mark.parametrize(
    ("body", "written"),
    [
        (
            {"file": {"name": "a.pdf", "content": "QQ=="}},
            {"ufCrm_1": ["a.pdf", "QQ=="], "ufCrm_2": [["a.pdf", "QQ=="]]},
        ),
        ({"file": {"name": "a.pdf"}}, {"ufCrm_1": ["a.pdf"]}),
        ({}, {}),
    ],
)
def test_a_file_is_its_name_and_its_content_and_without_its_content_none(
    tmp_path: Path, body: dict[str, Any], written: dict[str, Any]
) -> None:
    files = 'make: {a: {lead: {ufCrm_1: ["{file}", "{content}"], ufCrm_2: [["{file}", "{content}"]]}}}\n'

    assert plan_of(load(tmp_path, files, START), **body).steps[0].filled({}) == written


@pytest.mark.parametrize("vip", [True, False])
def test_yes_and_no_stay_what_they_are_for_the_portal_wants_them_differently_in_a_filter(
    tmp_path: Path, *, vip: bool
) -> None:
    rule = load(tmp_path, 'find: {a: {deal: {ufCrm_1: "{vip}", ufCrm_2: true, title: "vip: {vip}"}}}\n', START)

    assert plan_of(rule, vip=vip).steps[0].values == {
        "ufCrm_1": vip,
        "ufCrm_2": True,
        "title": f"vip: {'Y' if vip else 'N'}",
    }


def test_what_a_rule_asks_of_its_portal_is_told_without_the_rule(tmp_path: Path) -> None:
    requirement = load(tmp_path, CALLBACK).requirement

    assert Requirement.from_wire(requirement.to_wire()) == requirement
    assert requirement.scopes == (("bizproc",), ("crm",), ("user_basic", "user"))
    assert [(step.name, step.fields) for step in requirement.steps] == [
        ("client", ("phone", "email")),
        ("owner", ("EMAIL",)),
        ("known", ("contactId", "statusId")),
        ("lead", ("title", "phone", "contactId", "opened")),
    ]


WATCHING = START.replace("}}", "}, watch: {callback: RelayCallback, within: 7d}}")


def test_a_watch_is_of_the_deliverys_policy_and_its_parameter_is_one_of_the_template(tmp_path: Path) -> None:
    rule = load(tmp_path, WATCHING)

    assert intent_of(rule).policy.watch == CallbackSettings("RelayCallback", 7 * 86400)
    assert rule.requirement.parameters == ("RelayCallback",)
    assert intent_of(load(tmp_path, START)).policy.watch is None


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("", "RELAY_PUBLIC_URL is not set, so there is no address to give to the template: expected the relay's"),
        ("http://localhost:8080", "has the host 'localhost', and Bitrix24 calls no host without a dot: expected"),
        ("http://[::1]:8080", "has the host '::1', and Bitrix24 calls no host without a dot: expected"),
    ],
)
def test_a_watch_without_an_address_that_the_portal_can_call_is_a_mistake_with_its_line(
    tmp_path: Path, base: str, expected: str
) -> None:
    load(tmp_path, WATCHING)
    with pytest.raises(ConfigError) as caught:
        load_rules(tmp_path, sources=["site"], portals=["main"], base=base)

    (found,) = caught.value.mistakes
    assert f"one.yaml:{found.line}: start.watch: " in str(found)
    assert found.line > 0
    assert expected in str(found)


@pytest.mark.parametrize("base", [None, "https://relay.example.com", "http://127.0.0.1:8080"])
def test_a_watch_is_right_where_the_address_is_or_nobody_can_say(tmp_path: Path, base: str | None) -> None:
    load(tmp_path, WATCHING)

    assert load_rules(tmp_path, sources=["site"], portals=["main"], base=base).all()


@pytest.mark.parametrize("base", ["", "http://localhost:8080"])
def test_a_rule_that_does_not_watch_needs_no_address(tmp_path: Path, base: str) -> None:
    load(tmp_path, START)

    assert load_rules(tmp_path, sources=["site"], portals=["main"], base=base).all()


SAYING = START.replace("}}", '}, comment: "[b]{name}[/b] asks, by {phone}"}')


def test_a_comment_is_of_the_call_and_asks_for_the_scope_of_crm(tmp_path: Path) -> None:
    rule = load(tmp_path, SAYING)

    call = intent_of(rule, name="Ada", phone="+79990000001").call
    assert call.comment == Comment("[b]Ada[/b] asks, by +79990000001")
    assert rule.requirement.scopes == (("bizproc",), ("crm",))
    assert "comment" not in intent_of(load(tmp_path, START)).call.to_wire()
    loud = load(tmp_path, SAYING.removesuffix("}\n") + ", loud: true}\n")
    assert intent_of(loud, name="Ada").call.comment == Comment("[b]Ada[/b] asks, by ", is_loud=True)


def test_a_sender_cannot_notify_people_nor_hide_an_address_by_the_marks_of_a_comment(tmp_path: Path) -> None:
    rule = load(tmp_path, SAYING)
    hostile = "[user=1]Ada[/user]\n[url=http://x]y[/url]\t!"

    assert intent_of(rule, name=hostile, phone="+79990000001").call.comment == Comment(
        "[b](user=1)Ada(/user) (url=http://x)y(/url) ![/b] asks, by +79990000001"
    )


def test_a_comment_may_name_what_a_step_makes_and_is_none_where_it_says_nothing(tmp_path: Path) -> None:
    rule = load(tmp_path, LEAD, on_start('{lead: "{lead}"}').replace("}}", '}, comment: "lead {lead}"}'))
    intent = intent_of(rule)

    assert intent.call.comment == Comment("lead {lead}")
    assert Plan.from_wire("main", json.loads(json.dumps(intent.plan.to_wire()))) == intent.plan
    assert intent.plan.filled({"lead": 5}).comment == Comment("lead 5")
    nothing = load(tmp_path, START.replace("}}", '}, comment: "{tags}"}'))
    assert intent_of(nothing).call.comment is None


@pytest.mark.parametrize(
    ("parts", "scopes"),
    [
        ([START], [("bizproc",)]),
        ([TRIGGER], [("crm",)]),
        (['find: {a: {user: {email: "{email}"}}}\n', START], [("bizproc",), ("user_basic", "user")]),
    ],
)
def test_a_rule_needs_the_scopes_of_what_it_does_and_no_more(
    tmp_path: Path, parts: list[str], scopes: list[tuple[str, ...]]
) -> None:
    assert list(load(tmp_path, *parts).requirement.scopes) == scopes


def test_what_an_earlier_version_has_published_asks_for_no_steps() -> None:
    wire = {"rule": "r", "portal": "main", "template_id": 1, "document": ["crm", "X", ""], "parameters": []}

    assert Requirement.from_wire(wire).steps == ()


HOSTILE = st.sampled_from(
    ["{lead}", "{client}", "{{lead}}", '{"later": [{"step": "lead"}]}', "LEAD_{lead}", "$result[a]"]
)
TEXTS = st.text(max_size=30) | HOSTILE | st.builds("{}{}".format, st.text(max_size=5), HOSTILE)
WIRES = st.just({"later": [{"step": "lead"}]}) | st.just({"map": {}}) | st.just([{"step": "lead"}])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=TEXTS | WIRES, tags=st.lists(TEXTS | WIRES) | WIRES, content=TEXTS | WIRES)
def test_whatever_a_sender_sends_no_place_is_made_of_it(tmp_path: Path, name: Any, tags: Any, content: Any) -> None:
    rule = load(tmp_path, LEAD.replace("x}", 'x, name: "{name}", comments: "{content}"}'), PLAIN)
    try:
        plan = plan_of(rule, name=name, tags=tags, file={"content": content})
    except InvalidEventError:
        return

    literal = {"name": plan.steps[0].values["name"], "tags": plan.call.parameters["Tags"]}
    filled = plan.filled({"lead": 5})
    assert plan.steps[0].values == {"title": "x", "name": _sent(name), "comments": _sent(content)}
    assert filled.parameters["Name"] == _sent(name) == literal["name"]
    assert filled.parameters["Tags"] == literal["tags"]
    assert Plan.from_wire("main", plan.to_wire()) == plan


PLAIN = """\
start:
  portal: main
  template_id: 12
  document_id: {lead: "{lead}"}
  parameters: {Name: "{name}", Tags: "{tags}"}
"""


def _sent(value: Any) -> Any:
    """As a rule reads text: of blanks nothing is left."""
    return value if isinstance(value, str) and value.strip() else ""


KEYS = """lead contact user dynamic many none keep unless quietly own_field phone title name id watch a b ufCrm_1
{a} {b} {phone} {name} stop newest 1h portal main document_id template_id code callback within parameters"""
WORDS = st.sampled_from(KEYS.split())
WRITTEN = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=12,
)
FIELDS = st.dictionaries(
    st.sampled_from(["title", "name", "phone", "id", "ufCrm_1"]), WORDS | st.integers(), min_size=1
)
KINDS = st.sampled_from(["lead", "contact", "deal", "quote", "user"])
OPTIONS = st.sampled_from([{}, {"none": "stop"}, {"none": 1}, {"unless": "a"}, {"own_field": "ufCrm_1"}])
STEP = st.builds(lambda kind, fields, options: {kind: fields, **options}, KINDS, FIELDS, OPTIONS)
STEPS = st.dictionaries(st.sampled_from(["a", "b", "c"]), STEP | STEP | WRITTEN, max_size=3)
START_OF = st.builds(
    lambda form, member: {"portal": "main", "template_id": 1, "document_id": {form: member}}, KINDS, WORDS | st.just(7)
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.fixed_dictionaries(
        {"start": START_OF | START_OF | WRITTEN}, optional={"find": STEPS, "make": STEPS, "trigger": WRITTEN}
    )
)
def test_whatever_is_written_there_mistakes_are_all_that_comes_of_it(tmp_path: Path, parts: dict[str, Any]) -> None:
    text = {"name": "one", "source": "site", "extract": {"phone": {"from": "body.phone"}}, **parts}
    (tmp_path / "one.yaml").write_text(json.dumps(text), "utf-8")
    try:
        rule = load_rules(tmp_path, sources=["site"], portals=["main"]).get("one")
    except ConfigError:
        return
    try:
        intent = intent_of(rule, phone="7")
    except InvalidEventError:
        return
    assert intent.call.document_id
    assert intent.plan is None or Plan.from_wire("main", json.loads(json.dumps(intent.plan.to_wire()))) == intent.plan
