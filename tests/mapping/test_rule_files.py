"""Rules as files: every mistake with its line, and what a folder of them is when there is none."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from relay.core.errors import ConfigError, NotFoundError
from relay.rules import RuleBook, load_rules

START = {"portal": "main", "template_id": 1, "document_id": {"lead": 1}}


def rule_text(**parts: Any) -> str:
    return yaml.safe_dump({"name": "one", "source": "site", "start": START, **parts}, sort_keys=False)


def book_of(folder: Path, *texts: str) -> RuleBook:
    for number, text in enumerate(texts):
        (folder / f"rule-{number}.yaml").write_text(text)
    return load_rules(folder, sources=["site", "other"], portals=["main"])


def mistakes_of(folder: Path, *texts: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        book_of(folder, *texts)
    return [str(mistake).removeprefix(f"{folder}/") for mistake in caught.value.mistakes]


def value(**spec: Any) -> dict[str, Any]:
    return {"extract": {"a": {"from": "body.a", **spec}}}


def start_with(**parts: Any) -> dict[str, Any]:
    return {"start": {**START, **parts}}


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"nmae": "x"}, ":8: nmae: unknown key; did you mean 'name'?"),
        ({"name": "One Rule"}, ":1: name: found 'One Rule', expected a name of a-z"),
        ({"source": "sight"}, ":2: source: unknown source 'sight'; did you mean 'site'?"),
        ({"start": None}, ":3: start: "),
        (start_with(portal="mian"), ":4: start.portal: unknown portal 'mian'; did you mean 'main'?"),
        (start_with(template_id=0), ":5: start.template_id: found 0, expected a whole number from 1"),
        (start_with(template_id="12"), ":5: start.template_id: found '12', expected a whole number"),
        (start_with(template_id=True), ":5: start.template_id: found true, expected a whole number"),
        (start_with(document_id={"laed": 1}), ":7: start.document_id.laed: unknown document; did"),
        (start_with(document_id={"lead": "LEAD_1"}), ":6: start.document_id: found 'LEAD_1', expected a number"),
        (start_with(document_id={"dynamic": 1}), ":7: start.document_id.dynamic: found 1, expected ["),
        (start_with(document_id=["crm", "x"]), ":6: start.document_id: found a list, expected one"),
        (start_with(document_id=["crm", "A\\\\B", "1"]), ":6: start.document_id: found a list, expected single"),
        (start_with(document_id={"lead": 1, "deal": 1}), ":6: start.document_id: found a map, expected one short"),
        (start_with(document_id={"lead": "{x}"}), ":6: start.document_id: {x} is not among"),
        (start_with(parameters={"P": "{x"}), ":9: start.parameters.P: a lone '{': expected {name}"),
        (start_with(parameters={"P": "x}"}), ":9: start.parameters.P: a lone '}'"),
        (start_with(parameters={"P": {"a": 1}}), ":9: start.parameters.P: found a map, expected"),
        (start_with(parameters={"P": [["a"]]}), ":9: start.parameters.P: found a list, expected"),
        (start_with(parameters=["P"]), ":8: start.parameters: found a list, expected a map"),
        (start_with(parameters={"a[b]": 1}), ":9: start.parameters.a[b]: not a parameter's name"),
        (start_with(comment=""), ":8: start.comment: found '', expected one line of text with {values}"),
        (start_with(comment="a\nb"), "start.comment: found 'a\\nb', expected one line of text"),
        (start_with(comment="{x}"), ":8: start.comment: {x} is not among the values of this rule"),
        (start_with(loud=True), ":8: start.loud: there is nothing to say aloud: expected a comment beside it"),
        (start_with(comment="a", loud="yes"), ":9: start.loud: found 'yes', expected true or false"),
        (start_with(comment="a", document_id={"list": 1}), "start.comment: the document is none of CRM, and others"),
        *(
            (start_with(parameters={name: 1}), f":9: start.parameters.{name}: Bitrix24 keeps this name for itself")
            for name in ("PreGeneratedWorkflowId", "TargetUser", "StartWorkflowDelay", "targetuser", "713")
        ),
        ({"when": "body.a =="}, "a JMESPath expression, but 'body.a ==' breaks at column 10"),
        ({"when": "!body.form"}, "when: found '!body.form', expected brackets"),
        ({"when": "body..a"}, "breaks at column 6"),
        ({"when": ""}, ":8: when: found '', expected a JMESPath expression"),
        ({"when": "form == 'demo'"}, ":8: when: 'form' is not in an event; expected one of body, "),
        ({"when": "boby.form"}, "'boby' is not in an event; did you mean 'body'?"),
        ({"when": "lenght(body)"}, "unknown function 'lenght'; did you mean 'length'?"),
        ({"extract": {"a": {"form": "body.a"}}}, ":10: extract.a.form: unknown key; did you mean 'from'?"),
        ({"extract": {"a": {}}}, ":9: extract.a.from: missing: expected a JMESPath expression or a list"),
        ({"extract": {"a": "body.a"}}, ":9: extract.a: found 'body.a', expected a map"),
        ({"extract": {"a b": {"from": "body.a"}}}, ":9: extract.a b: not a name"),
        ({"extract": {"a": {"from": []}}}, ":10: extract.a.from: found a list, expected"),
        (value(type="int"), ":11: extract.a.type: unknown type 'int'"),
        (value(type="email", min=1), ":12: extract.a.min: is for integer and number"),
        (value(type="url", max_length=1), "extract.a.max_length: is for string and list"),
        (value(required=True, default=1), "extract.a.default: a required value never"),
        (value(required="yes"), "extract.a.required: found 'yes', expected true or false"),
        (value(type="integer", default="x"), "extract.a.default: found 'x', expected a whole"),
        (value(type="integer", choices=["x"]), "extract.a.choices: found a list, expected a whole"),
        (value(choices=["x"], default="y"), "extract.a.default: found 'y', expected one of x"),
        (value(type="phone", region="XX"), ":12: extract.a.region: unknown region 'XX': expected a country's two"),
        (value(type="phone", region=7), ":12: extract.a.region: found 7, expected a country's two letters, such as RU"),
        (value(type="email", region="RU"), ":12: extract.a.region: is for phone, not for email"),
        (value(type="integer", min=10, max=1), ":12: extract.a.min: is above max, so that no value would fit"),
        (value(type="string", items="integer"), ":12: extract.a.items: is for list, not for string"),
        (value(type="string", items="phone", region="RU"), "extract.a.region: is for phone, not for string"),
        (value(**{"from": "join(body.tags)"}), ":10: extract.a.from: join() takes 2 arguments, not 1"),
        ({"when": "starts_with(body.event)"}, ":8: when: starts_with() takes 2 arguments, not 1"),
        ({"when": "contains(body.a, 'x', 'y')"}, ":8: when: contains() takes 2 arguments, not 3"),
        ({"when": "not_null()"}, ":8: when: not_null() takes at least 1 argument, not 0"),
        ({"when": "starts_with('ord', `1`)"}, ":8: when: starts_with() takes a text as argument 2"),
        ({"when": "length(`1`)"}, ":8: when: length() takes a text or a list or a map as argument 1"),
        ({"when": "sort_by(body.a, 'b')"}, ":8: when: sort_by() takes an expression with & before it as argument 2"),
        ({"when": "join(&body.a, body.b)"}, ":8: when: join() takes a text as argument 1"),
        ({"when": "body.total > '100'"}, "expected `100`, a number: '100' is a text, and of texts 9 is above 100"),
        (start_with(parameters={"P": {"a": 1}}), "found a map, expected text, numbers, true, false, or lists of them"),
        ({"when": "&body.event"}, "expected & only before an argument of a function"),
        ({"when": "body.a || &body.event"}, "expected & only before an argument of a function"),
        ({"when": "body.a && headers.\"X-Event\" == 'a'"}, "expected 'x-event': the names of headers are in"),
        ({**value(type="list"), **start_with(document_id=["lists", "X", "{a}"])}, "{a} is a list: expected one value"),
        (value(type="integer", min=1, default=0), "extract.a.default: found 0, expected at least"),
    ],
)  # fmt: skip
def test_a_rule_that_could_not_work_is_a_mistake_with_its_line(
    tmp_path: Path, parts: dict[str, Any], expected: str
) -> None:
    found = mistakes_of(tmp_path, rule_text(**parts))
    assert [line for line in found if expected in line], found


@pytest.mark.parametrize(
    "when",
    [
        "body.headers.\"X-Event\" == 'a'", "body.list[?headers.\"X\" == 'a']", "sort_by(body.a, &b)",
        "not_null(body.a, body.b)",
        "body.day > '2026-01-31'", "body.n == '100'",
        "max(`[1, 2]`)", "join(', ', body.tags)", "length('a')", "body.a == `\"X-Event\"`", "contains(body.tags, `1`)",
        "map(&a, body.list)", "merge(body.a, `{}`)", "headers.\"x-event\" == 'A'", "type(`null`)",
    ],
)  # fmt: skip
def test_an_expression_that_some_event_may_meet_is_no_mistake(tmp_path: Path, when: str) -> None:
    assert book_of(tmp_path, rule_text(when=when)).get("one")


def test_the_mistakes_of_all_files_come_together(tmp_path: Path) -> None:
    found = mistakes_of(
        tmp_path, rule_text(source="x"), rule_text(name="two", when="["), "name: [", rule_text(name="three")
    )
    assert [line.partition(":")[0] for line in found] == ["rule-0.yaml", "rule-1.yaml", "rule-2.yaml"]


def test_two_rules_of_one_name_are_a_mistake(tmp_path: Path) -> None:
    found = mistakes_of(tmp_path, rule_text(), rule_text())
    assert found[0].startswith("rule-1.yaml:1: name: 'one' is also the name of the rule in ")


def test_a_folder_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        load_rules(tmp_path / "nowhere", sources=[], portals=[])


def test_rules_are_found_by_name_and_by_source(tmp_path: Path) -> None:
    book = book_of(tmp_path, rule_text(), rule_text(name="two", source="other"), rule_text(name="three"))
    assert [rule.name for rule in book.all()] == ["one", "two", "three"]
    assert [rule.name for rule in book.for_source("site")] == ["one", "three"]
    assert book.for_source("nobody") == ()
    assert book.get("two").source == "other"
    with pytest.raises(NotFoundError):
        book.get("four")


def test_a_disabled_rule_wants_no_event_and_is_listed_still(tmp_path: Path) -> None:
    book = book_of(tmp_path, rule_text(enabled=False), rule_text(name="two"))
    assert [(rule.name, rule.is_enabled) for rule in book.all()] == [("one", False), ("two", True)]
    assert [rule.name for rule in book.for_source("site")] == ["two"]
    assert [rule.name for rule in book.candidates("site", {})] == ["two"]
    assert not book.get("one").is_enabled


def test_the_digest_changes_with_the_rules_and_not_with_comments(tmp_path: Path) -> None:
    first = book_of(tmp_path, rule_text()).digest
    assert book_of(tmp_path, "# a comment\n" + rule_text()).digest == first
    assert book_of(tmp_path, rule_text(when="body.a")).digest != first
