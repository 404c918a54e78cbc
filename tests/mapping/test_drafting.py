"""From an event to the text of a rule: paths, types, names, and edits that leave alone what a person has written."""

from __future__ import annotations

import json

import jmespath
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as some

from relay.configuration.expressions import Expression
from relay.core.errors import NotFoundError
from relay.core.templates import PortalTemplate, TemplateParameter, templates_of
from relay.operations.drafting import (
    MOST_NODES,
    choose,
    contact_first,
    document_first,
    draft,
    field_mapping,
    map_value,
    name_of,
    rule_name,
    tree_of,
    type_of,
    whole_draft,
)
from relay.operations.preview import read_draft
from relay.operations.rule_text import UneditableError, content_of, put, scalar
from tests.support.folders import CONFIG

BODY = {
    "form": "callback",
    "lead": {"id": "12"},
    "first name": "Ада",
    "email": "ada@example.com",
    "phone": "8 999 123-45-67",
    "items": [{"id": 1}, {"id": 2}],
    "manager": 3,
}
PARAMETERS = (
    TemplateParameter("Email", "E-mail", "string", is_required=True, is_multiple=False),
    TemplateParameter("Who", "Manager", "user", is_required=False, is_multiple=False),
    TemplateParameter("Note", "Note", "string", is_required=False, is_multiple=False),
)
LEAD = PortalTemplate(1, "Lead: follow up", ("crm", "CCrmDocumentLead", "LEAD"), PARAMETERS)
SMART = PortalTemplate(
    7, "Item", ("crm", r"Bitrix\Crm\Integration\BizProc\Document\Dynamic", "DYNAMIC_147"), PARAMETERS
)
KEYS = some.text(max_size=8)
JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(max_size=10),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


def context_of(body, **more):
    return {"body": body, "headers": {}, "query": {}, "envelope": None, "source": "website", "received_at": "", **more}


@pytest.fixture
def tree():
    return tree_of(context_of(BODY))


def leaf(tree, path):
    return next(one for one in tree.leaves() if one.path == path)


@given(JSON)
def test_every_path_finds_the_value_that_it_was_made_of(body):
    context = context_of(body)
    for node in tree_of(context).leaves():
        assert jmespath.search(node.path, context) == node.value


SAID = some.text(some.sampled_from("aЯ \\'`\"{}#:\n\u2028") | some.characters(exclude_categories=["Cs"]), max_size=8)
SENT = some.dictionaries(
    some.sampled_from(["event", "type", "phone", "lead", "id", "a b", "Name", "name", "1" * 60]) | SAID,
    some.recursive(
        some.none() | some.booleans() | some.integers(-(2**70), 2**70) | some.floats(allow_nan=False) | SAID,
        lambda inner: (
            some.lists(inner, max_size=3)
            | some.dictionaries(some.sampled_from(["id", "phone", "x"]) | SAID, inner, max_size=3)
        ),
        max_leaves=5,
    ),
    max_size=4,
)


@settings(max_examples=settings().max_examples // 2, deadline=None)  # a rule is read from its text, as a whole
@given(SENT)
def test_a_draft_is_a_rule_that_matches_and_takes_the_event_that_it_was_made_from(body):
    context = context_of(body)
    text = whole_draft("a-rule", "website", "main", tree_of(context), "evt_1")

    rule = read_draft("a-rule", text, CONFIG)

    assert rule is not None
    assert rule.matches(context)
    rule.to_intent(context)


@settings(max_examples=settings().max_examples // 2, deadline=None)
@given(SENT)
def test_the_condition_that_something_stands_there_holds_for_its_own_event(body):
    context = context_of(body)
    for node in tree_of(context).leaves():
        text = map_value("", node, "when", None)
        assert Expression.parse(content_of(text)["when"], None).holds(context), text


@pytest.mark.parametrize(
    "said", ["App\\Events\\Order", "it's", "a\\", "a\\'b", "`x\\`", "x\ny", 0, False, None, "", [], {}]
)
def test_a_condition_holds_whatever_was_said(said):
    context = context_of({"e": said})
    node = tree_of(context_of({"e": said})).find(2)
    assert Expression.parse(content_of(map_value("", node, "when", None))["when"], None).holds(context)


def test_a_large_event_is_shown_in_part():
    tree = tree_of(context_of({str(number): number for number in range(MOST_NODES * 2)}))
    assert (len(tree.leaves()), tree.is_cut) == (MOST_NODES - 1, True)


@pytest.mark.parametrize(
    ("value", "name", "kind"),
    [
        (12, "id", "integer"),
        ("12", "id", "integer"),
        ("007", "code", "string"),
        (1.5, "total", "number"),
        (True, "agreed", "boolean"),
        ("true", "agreed", "boolean"),
        ("ada@example.com", "contact", "email"),
        ("https://example.com/a", "page", "url"),
        ("2026-01-31", "day", "date"),
        ("2026-01-31T10:00:00Z", "at", "datetime"),
        ("+79991234567", "to", "phone"),
        ("8 999 123-45-67", "Phone", "phone"),
        (79991234567, "tel", "phone"),
        ("8 999 123-45-67", "note", "string"),
        (["a"], "tags", "list"),
        (None, "empty", "string"),
        ("hello", "text", "string"),
        (" 12 ", "id", "integer"),
        ("0\x1f", "id", "string"),
    ],
)
def test_a_type_is_proposed_from_what_came(value, name, kind):
    assert type_of(value, name) == kind


def test_a_name_says_what_the_value_is_and_is_taken_once():
    assert name_of(("body", "lead", "id"), ()) == "lead_id"
    assert name_of(("body", "customer", "email"), ()) == "email"
    assert name_of(("body", "customer", "email"), {"email"}) == "customer_email"
    assert name_of(("body", "email"), {"email"}) == "email_2"
    assert name_of(("body", "Имя"), ()) == "value"
    assert name_of(("headers", "x-github-event"), ()) == "x_github_event"


def test_a_draft_has_the_condition_and_the_document_that_the_event_names(tree):
    assert content_of(draft("a-rule", "website", "main", tree, "evt_1")) == {
        "name": "a-rule",
        "source": "website",
        "when": "body.form == 'callback'",
        "extract": {"lead_id": {"from": "body.lead.id", "type": "integer", "required": "true", "min": "1"}},
        "start": {"portal": "main", "document_id": {"lead": "{lead_id}"}},
    }


def test_a_draft_for_the_terminal_is_a_rule_without_mistakes(tree):
    text = whole_draft("a-rule", "website", "main", tree, "evt_1")

    rule = read_draft("a-rule", text, CONFIG)

    assert rule is not None
    assert {name: [pick.text for pick in picks] for name, picks in rule.extractor.picks.items()} == {
        "lead_id": ["body.lead.id"],
        "form": ["body.form"],
        "first_name": ['body."first name"'],
        "email": ["body.email"],
        "phone": ["body.phone"],
        "items_id": ["body.items[0].id"],
        "items_id_2": ["body.items[1].id"],
        "manager": ["body.manager"],
    }


def test_the_name_of_a_rule_is_no_others(tree):
    assert rule_name("website", tree, ()) == "website-callback"
    assert rule_name("website", tree, {"website-callback"}) == "website-callback-2"
    assert rule_name("website", None, ()) == "website"


def test_a_chosen_template_takes_the_values_of_the_same_names(tree):
    text = choose(draft("a-rule", "website", "main", tree), LEAD, tree)

    assert content_of(text)["start"]["parameters"] == {"Email": "{email}", "Who": "user_{manager}"}
    assert content_of(text)["extract"]["email"] == {"from": "body.email", "type": "email", "required": "true"}
    assert read_draft("a-rule", text, CONFIG) is not None


def test_another_template_takes_the_document_along(tree):
    text = choose(choose(draft("a-rule", "website", "main", tree), LEAD, tree), SMART, tree)

    assert content_of(text)["start"]["document_id"] == {"dynamic": ["147", "{lead_id}"]}
    assert read_draft("a-rule", text, CONFIG) is not None


def test_a_document_that_is_made_first_is_the_one_that_the_workflow_runs_on(tree):
    text = choose(draft("a-rule", "website", "main"), LEAD, tree)
    for path, slot in (("body.phone", "find:phone"), ("body.form", "make:title"), ("body.email", "make:email")):
        text = map_value(text, leaf(tree, path), slot, LEAD)

    content = content_of(text)
    assert content["find"] == {"client": {"contact": {"phone": "{phone}"}}}
    assert content["make"] == {"lead": {"lead": {"title": "{form}", "contactId": "{client}", "email": "{email}"}}}
    assert content["start"]["document_id"] == {"lead": "{lead}"}
    assert read_draft("a-rule", text, CONFIG) is not None


CONTACT = PortalTemplate(3, "Contact: greet", ("crm", "CCrmDocumentContact", "CONTACT"))
DEAL = PortalTemplate(2, "Deal: follow up", ("crm", "CCrmDocumentDeal", "DEAL"))
STRANGER = {"name": "Ada", "email": "ada@example.com", "phone": "8 999 123-45-67"}


def test_by_one_click_the_contact_is_found_or_made_and_the_workflow_runs_on_it():
    tree = tree_of(context_of(STRANGER))
    text = contact_first(choose(draft("a-rule", "website", "main", tree), CONTACT, tree), tree, CONTACT)

    content = content_of(text)
    assert content["find"] == {"client": {"contact": {"phone": "{phone}", "email": "{email}"}}}
    assert content["make"] == {
        "contact": {"contact": {"name": "{name}", "phone": "{phone}", "email": "{email}"}, "unless": "client"}
    }
    assert content["start"]["document_id"] == {"contact": "{contact}"}
    assert read_draft("a-rule", text, CONFIG) is not None
    assert contact_first(text, tree, CONTACT) == text


@pytest.mark.parametrize("first", [contact_first, document_first], ids=["the contact first", "the deal first"])
def test_by_two_clicks_a_deal_is_made_for_the_contact_that_is_found_or_made(first):
    tree = tree_of(context_of(STRANGER))
    text = first(choose(draft("a-rule", "website", "main", tree), DEAL, tree), tree, DEAL)
    text = (document_first if first is contact_first else contact_first)(text, tree, DEAL)

    content = content_of(text)
    assert content["make"]["contact"]["unless"] == "client"
    assert content["make"]["deal"] == {"deal": {"title": "website: {name}", "contactId": "{contact}"}}
    assert content["start"]["document_id"] == {"deal": "{deal}"}
    assert read_draft("a-rule", text, CONFIG) is not None


PLACES = {
    "name": "body.answers[?type=='3'].value | [0]",
    "phone": "body.caller",
    "email": "body.answers[?type=='2'].value | [0]",
    "comment": "body.question",
    "amount": "body.sum",
    "minor_amount": "body.cents",
    "order": "body.absent",
}
ANSWERED = {
    "site": {"name": "A shop", "email": "shop@example.com"},
    "caller": 79991234567,
    "answers": [{"type": "2", "value": "ada@example.com"}, {"type": "3", "value": "Ada"}],
    "question": "When?",
    "sum": "990.50",
    "cents": 99050,
}


@pytest.fixture
def placed():
    """The tree of an event whose sender's profile knows where its values are."""
    return tree_of(context_of(ANSWERED), places={name: Expression.parse(path, None) for name, path in PLACES.items()})


def test_values_that_the_profile_knows_are_taken_before_those_that_only_look_like_them(placed):
    text = choose(draft("a-rule", "website", "main", placed), DEAL, placed)
    text = document_first(contact_first(text, placed, DEAL), placed, DEAL)

    content = content_of(text)
    assert {name: spec["from"] for name, spec in content["extract"].items()} == {
        name: path for name, path in PLACES.items() if name not in {"minor_amount", "order"}
    }
    assert content["extract"]["phone"]["type"] == "phone"
    assert content["extract"]["name"]["personal"] == "true"
    assert content["find"] == {"client": {"contact": {"phone": "{phone}", "email": "{email}"}}}
    assert content["make"]["deal"]["deal"] == {
        "title": "website: {name}",
        "contactId": "{contact}",
        "opportunity": "{amount}",
        "comments": "{comment}",
    }
    assert read_draft("a-rule", text, CONFIG) is not None


def test_a_value_that_the_profile_knows_fills_a_parameter_of_the_same_name(placed):
    text = choose(draft("a-rule", "website", "main", placed), LEAD, placed)

    assert content_of(text)["extract"]["email"]["from"] == PLACES["email"]


def test_a_draft_for_the_terminal_begins_with_the_values_that_the_profile_knows(placed):
    extract = content_of(whole_draft("a-rule", "website", "main", placed, "evt_1"))["extract"]

    assert list(extract)[:6] == ["name", "phone", "email", "comment", "amount", "minor_amount"]
    assert [spec["from"] for spec in extract.values()].count("body.caller") == 1


def test_a_contact_that_was_only_found_is_replaced_by_the_one_that_is_found_or_made(tree):
    text = choose(draft("a-rule", "website", "main"), LEAD, tree)
    for path, slot in (("body.phone", "find:phone"), ("body.form", "make:title")):
        text = map_value(text, leaf(tree, path), slot, LEAD)
    assert content_of(text)["make"]["lead"]["lead"]["contactId"] == "{client}"

    text = contact_first(text, tree, LEAD)

    assert content_of(text)["make"]["lead"]["lead"]["contactId"] == "{contact}"
    assert read_draft("a-rule", text, CONFIG) is not None


def test_no_contact_is_found_by_an_event_without_a_phone_and_an_email():
    tree = tree_of(context_of({"name": "Ada"}))
    with pytest.raises(NotFoundError, match="neither a phone nor an e-mail"):
        contact_first(draft("a-rule", "website", "main", tree), tree, CONTACT)


@pytest.mark.parametrize("held", ["body.tel", "[body.tel, body.mobile]"])
def test_a_value_is_taken_from_a_second_place_too(tree, held):
    text = f"extract:\n  phone: {{from: {held}, type: phone, region: RU}}\n"

    after = map_value(text, leaf(tree, "body.phone"), "from:phone", None)

    assert after == f"extract:\n  phone: {{from: [{held.strip('[]')}, body.phone], type: phone, region: RU}}\n"
    assert map_value(after, leaf(tree, "body.phone"), "from:phone", None) == after


def test_the_places_say_what_holds_them_and_which_is_next(tree):
    text = choose(draft("a-rule", "website", "main", tree), LEAD, tree)

    slots = field_mapping(text, LEAD)

    assert {one.key: one.holds for one in slots.every() if one not in slots.first} == {
        "document": "{lead_id}",
        "parameter:Email": "{email}",
        "parameter:Who": "user_{manager}",
        "parameter:Note": "",
        "from:lead_id": "body.lead.id",
        "from:email": "body.email",
        "from:manager": "body.manager",
        "value": "",
        "when": "body.form == 'callback'",
    }
    assert slots.next_empty("document") == "parameter:Note"
    odd = field_mapping(map_value(text, leaf(tree, "body.form"), "parameter:Old", LEAD), LEAD)
    assert [one.key for one in odd.start if one.is_odd] == ["parameter:Old"]


def test_conditions_are_added_to_the_one_that_is_there(tree):
    text = map_value("when: body.a || body.b\n", leaf(tree, "body.form"), "when", None)
    assert content_of(text)["when"] == "(body.a || body.b) && body.form == 'callback'"
    assert map_value(text, leaf(tree, "body.form"), "when", None) == text


def test_what_a_person_has_written_stays_where_it_is():
    before = (CONFIG / "rules" / "callback.yaml").read_text("utf-8")

    after = put(before, ("start", "parameters", "Another"), '"{name}"')
    after = put(after, ("find", "client", "contact", "web"), '"{name}"')
    after = put(after, ("start", "template_id"), "9")

    gone = [line for line in before.splitlines() if line not in after.splitlines()]
    assert [line.split(":")[0].strip() for line in gone] == ["client", "template_id"]
    assert "# the newest of several" in after
    assert content_of(after)["start"]["parameters"]["Another"] == "{name}"


@pytest.mark.parametrize(
    "text", ["", "a: 1\n", "extract:\n", "extract: # later\n  # here\n", "extract: {}", "start:\n  portal: main"]
)
def test_a_value_is_put_wherever_there_is_room(text):
    put_in = put(put(text, ("extract", "name"), "{from: body.name}"), ("extract", "more"), "{from: body.more}")
    assert content_of(put_in)["extract"] == {"name": {"from": "body.name"}, "more": {"from": "body.more"}}
    assert yaml.safe_load(put_in)


@pytest.mark.parametrize("text", ["- a\n", "extract: text\n", "a: [\n", "a: &x 1\nb: *x\n", "x" * 70_000])
def test_what_cannot_be_edited_says_so(text):
    with pytest.raises(UneditableError):
        put(text, ("extract", "name"), "1")


@given(some.text(max_size=40))
def test_any_text_is_written_so_that_it_is_read_again(text):
    assert content_of(f"a: {{b: {scalar(text)}}}\n") == {"a": {"b": text}}


@pytest.mark.parametrize("broken", ["    Bad: {x\n", "    Bad: 'x\n", "   x: 1\n", "\tx\n", "  - a\n    b: [\n"])
def test_while_a_line_is_typed_what_stands_above_it_is_known(tree, broken):
    text = choose(draft("a-rule", "website", "main", tree), LEAD, tree)
    assert content_of(text + broken)["start"]["template_id"] == "1"


def test_templates_come_back_as_the_portal_described_them():
    row = {
        "NAME": "Follow up",
        "DOCUMENT_TYPE": ["crm", "CCrmDocumentLead", "LEAD"],
        "PARAMETERS": {"P1": {"Name": "E-mail", "Type": "string", "Required": "1", "Multiple": "0"}, "P2": None},
    }
    (template,) = templates_of(json.dumps([PortalTemplate.from_row(3, row).to_wire()]))

    assert (template.id, template.name, template.document_type[2]) == (3, "Follow up", "LEAD")
    assert [(one.id, one.title, one.is_required) for one in template.parameters] == [
        ("P1", "E-mail", True),
        ("P2", "P2", False),
    ]
