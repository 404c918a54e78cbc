"""A rule: which events it wants, what it takes from them, and the call it makes."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import missing

from relay.core.errors import InvalidEventError
from relay.rules import Rule, load_rules

START = {"portal": "main", "template_id": 1, "document_id": {"lead": 1}}


def rule_of(folder: Path, **parts: Any) -> Rule:
    text = yaml.safe_dump({"name": "one", "source": "site", "start": START, **parts}, sort_keys=False)
    (folder / "one.yaml").write_text(text)
    return load_rules(folder, sources=["site"], portals=["main"]).get("one")


def context(body: Any = None, **headers: str) -> dict[str, Any]:
    return {
        "body": body,
        "headers": headers,
        "query": {},
        "source": "site",
        "received_at": "2026-01-31T10:00:00.000+00:00",
    }


def errors_of(rule: Rule, body: Any) -> dict[str, list[str]]:
    with pytest.raises(InvalidEventError) as caught:
        rule.to_intent(context(body))
    return caught.value.errors


@pytest.mark.parametrize(
    ("when", "body", "expected"),
    [
        (None, None, True),
        ("!(body.form)", {}, True),
        ("!(body.form)", {"form": "x"}, False),
        ("body.form == 'demo' && body.lead.id", {"form": "demo", "lead": {"id": 1}}, True),
        ("body.form == 'demo' && body.lead.id", {"form": "demo"}, False),
        ("body.n", {"n": 0}, True),
        ("body.n", {"n": False}, False),
        ("body.n", {"n": ""}, False),
        ("body.n", {"n": []}, False),
        ("body.n", {"n": {}}, False),
        ("body.n", [], False),
        ("body.n", 5, False),
        ("body.n > `5`", {"n": "text"}, False),
        ("contains(body.n, 'x')", {"n": 5}, False),
        ("length(body.n) > `0`", {"n": None}, False),
        ("sum(body.n) > `0`", {"n": [10**400, 1.5]}, False),
        ("headers.\"x-event\" == 'A'", {}, True),
        ("source == 'site' && received_at", {}, True),
        ("body.tags[?name=='x'].id | [0]", {"tags": [{"name": "x", "id": 5}]}, True),
        ("body.*.id", {"a": {"id": 5}}, True),
        ("@.body", {"a": 1}, True),
    ],
)
def test_a_rule_matches_where_its_condition_holds(tmp_path: Path, when: str | None, body: Any, expected: bool) -> None:
    rule = rule_of(tmp_path, **({} if when is None else {"when": when}))
    assert rule.matches(context(body, **{"x-event": "A"})) is expected


VALUES = [
    ("string", "x", "x"), ("string", 5, "5"), ("string", True, None), ("string", {"a": 1}, None), ("string", [1], None),
    ("string", 10**400, "1" + "0" * 400),
    ("integer", 5, 5), ("integer", "5", 5), ("integer", " -5 ", -5), ("integer", 5.0, 5), ("integer", "1.5", None),
    ("integer", 1.5, None), ("integer", True, None), ("integer", "\u0665", None), ("integer", 10**30, None),
    ("integer", "9" * 5000, None), ("integer", 1e300, None), ("integer", float("inf"), None),
    ("integer", float("nan"), None),
    ("integer", "1_000", None), ("integer", [], ""), ("integer", {}, None),
    ("number", 1.5, 1.5), ("number", "1.5", 1.5), ("number", "1e3", 1000.0), ("number", "7", 7),
    ("number", "1e999", None),
    ("number", float("nan"), None), ("number", 10**400, None), ("number", "1,5", None), ("number", False, None),
    ("boolean", True, "Y"), ("boolean", "on", "Y"), ("boolean", "No", "N"), ("boolean", 0, "N"), ("boolean", "1", "Y"),
    ("boolean", 2, None), ("boolean", "maybe", None), ("boolean", 1.0, None),
    ("email", " a@example.com ", "a@example.com"), ("email", "a@", None), ("email", 5, None),
    ("email", "a" * 9999 + "@b.ru", None),
    ("url", "https://example.com/x?y=1", "https://example.com/x?y=1"), ("url", "javascript:alert(1)", None),
    ("url", "http://", None), ("url", "http://[", None), ("url", "http://a b", None), ("url", 5, None),
    ("phone", "+7 (495) 123-45-67", "+74951234567"), ("phone", "8.495.123.45.67", "84951234567"),
    ("phone", 79991234567, "79991234567"),
    ("phone", "12345", None), ("phone", "call me", None), ("phone", "+7+7+7+7+7", None), ("phone", "1" * 16, None),
    ("date", "2026-01-31", "2026-01-31"), ("date", "2026-01-31T23:00:00+03:00", "2026-01-31"),
    ("date", "2026-02-30", None),
    ("date", "31.01.2026", None), ("date", 20260131, None), ("date", "20260131", None),
    ("datetime", "2026-01-31T10:00:00Z", "2026-01-31T10:00:00+00:00"),
    ("datetime", "2026-01-31 10:00+0300", "2026-01-31T10:00:00+03:00"),
    ("datetime", "2026-01-31T10:00:00.123456789+03:00", "2026-01-31T10:00:00+03:00"),
    ("datetime", 0, "1970-01-01T00:00:00+00:00"),
    ("datetime", "2026-01-31T10:00:00", None), ("datetime", "2026-13-31T10:00:00Z", None), ("datetime", 10**300, None),
    ("datetime", "2026-01-31T10:00:00+99:99", None), ("datetime", True, None), ("datetime", -(2**39), None),
    ("list", ["a", 5], ["a", "5"]), ("list", "a", ["a"]), ("list", [], []), ("list", {"a": 1}, None),
    ("list", [["a"]], None),
    ("list", ["a", None], ["a"]), ("list", ["", "a", " "], ["a"]), ("list", [""], []), ("list", [[""], "a"], ["a"]),
    ("string", 1e-05, "0.00001"), ("string", 1e16, "10000000000000000"), ("string", 1.5, "1.5"),
    ("string", -0.0, "-0.0"), ("string", 1e300, "1e+300"),
    ("phone", "\u202a+7 999 123\u221245\u221267\u202c", "+79991234567"),
    ("phone", "8\u202f999\u2011123\u201345-67", "89991234567"),
    ("string", [], ""), ("string", ["", None], ""),
    ("date", "2026-01-31 23:00:00", "2026-01-31"), ("date", "2026-01-31T23:00", "2026-01-31"),
    ("date", "2026-01-31T25:00:00Z", None), ("date", "2026-01-31 23:61", None), ("date", 1700000000, None),
    ("datetime", "1700000000", "2023-11-14T22:13:20+00:00"), ("datetime", 1700000000, "2023-11-14T22:13:20+00:00"),
    ("datetime", "20260131", None), ("datetime", "202601311000", None), ("datetime", "2026-01-31 10:00", None),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "expected"), VALUES)
def test_a_value_is_typed_or_refused_without_being_repeated(
    tmp_path: Path, kind: str, value: Any, expected: Any
) -> None:
    start = {**START, "parameters": {"P": "{v}"}}
    rule = rule_of(tmp_path, extract={"v": {"from": "body.v", "type": kind}}, start=start)
    if expected is not None:
        assert rule.to_intent(context({"v": value})).call.parameters == {"P": expected}
    else:
        errors = errors_of(rule, {"v": value})
        assert list(errors) == ["v"]
        assert errors["v"][0].startswith("expected ")


@pytest.mark.parametrize(
    ("spec", "value", "expected"),
    [
        ({"type": "list", "choices": ["a", "b"]}, ["", "a"], [["a"], "user_a", ["a"]]),
        ({"type": "list", "items": "integer"}, [None, " ", "1"], [[1], "user_1", [1]]),
        ({"type": "list"}, [], [[], "", []]),
        ({"type": "list"}, ["", None], [[], "", []]),
        ({"type": "list", "default": ["d"]}, [""], [["d"], "user_d", ["d"]]),
        ({"type": "list", "required": True}, ["", " "], None),
        ({"type": "list", "required": True}, [], None),
        ({"required": True}, [], None),
        ({"from": ["body.v", "body.w"]}, [], ["w", "user_w", ["w"]]),
        ({"type": "list", "from": ["body.v", "body.w"]}, [""], [["w"], "user_w", ["w"]]),
    ],
)  # fmt: skip
def test_a_blank_says_nothing_in_a_list_as_elsewhere(tmp_path: Path, spec: Any, value: Any, expected: Any) -> None:
    """A form sends a hidden blank field beside its boxes, so that it says something where none is ticked."""
    start = {**START, "parameters": {"A": "{v}", "B": "user_{v}", "C": ["{v}"]}}
    rule = rule_of(tmp_path, extract={"v": {"from": "body.v", **spec}}, start=start)
    if expected is None:
        assert errors_of(rule, {"v": value}).keys() == {"v"}
    else:
        assert list(rule.to_intent(context({"v": value, "w": "w"})).call.parameters.values()) == expected


@pytest.mark.parametrize(
    ("region", "value", "expected"),
    [
        ("RU", "8 (999) 123-45-67", "+79991234567"), ("RU", "9991234567", "+79991234567"),
        ("RU", "+7 999 123 45 67 доб. 12", "+79991234567"), ("RU", 89991234567, "+79991234567"),
        ("RU", "+49 30 1234567", "+49301234567"), ("RU", "tel:+7-999-123-45-67", "+79991234567"),
        ("KZ", "8 701 123 45 67", "+77011234567"), ("DE", "030 1234567", "+49301234567"),
        ("GB", "020 7946 0000", "+442079460000"),
        ("RU", "123", None), ("RU", "call me", None), ("RU", "", None), ("RU", True, None), ("RU", "9" * 65, None),
        ("RU", ["+79991234567"], None),
        # Of a town's own numbers nobody knows the town: read as national ones they would be other people's.
        ("RU", "123-45-67", None), ("US", "555-0100", None), ("RU", "+7 123-45-67", None),
    ],
)  # fmt: skip
def test_a_telephone_number_is_read_as_people_of_its_region_dial_it(
    tmp_path: Path, region: str, value: Any, expected: str | None
) -> None:
    start = {**START, "parameters": {"P": "{v}"}}
    spec = {"from": "body.v", "type": "phone", "region": region, "required": True}
    rule = rule_of(tmp_path, extract={"v": spec}, start=start)
    if expected is not None:
        assert rule.to_intent(context({"v": value})).call.parameters == {"P": expected}
    else:
        (message,) = errors_of(rule, {"v": value})["v"]
        assert message.endswith(f"expected a telephone number with its area code, as in {region} or with a +")


def test_a_list_of_telephone_numbers_has_a_region_too(tmp_path: Path) -> None:
    spec = {"from": "body.v", "type": "list", "items": "phone", "region": "RU"}
    rule = rule_of(tmp_path, extract={"v": spec}, start={**START, "parameters": {"P": "{v}"}})

    assert rule.to_intent(context({"v": ["8 999 123-45-67", "+49 30 1234567"]})).call.parameters == {
        "P": ["+79991234567", "+49301234567"]
    }


EVERY_KIND = ("string", "integer", "number", "boolean", "email", "url", "phone", "date", "datetime", "list")
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def every_kind(tmp_path_factory: pytest.TempPathFactory) -> Rule:
    extract = {kind: {"from": f"body.{kind}", "type": kind} for kind in EVERY_KIND}
    start = {
        **START,
        "document_id": {"lead": "{string}"},
        "parameters": {"T": "x {list} {datetime}", "L": ["{list}", "{date}"]},
    }
    return rule_of(tmp_path_factory.mktemp("rules"), extract=extract, start=start)


@given(body=st.fixed_dictionaries({}, optional=dict.fromkeys(EVERY_KIND, ANYTHING)) | ANYTHING)
def test_any_event_makes_a_call_or_errors_by_field(every_kind: Rule, body: Any) -> None:
    try:
        call = every_kind.to_intent(context(body)).call
    except InvalidEventError as error:
        wrong = set(error.errors)
    else:
        wrong = set() if call.document_id[2].removeprefix("LEAD_").isdigit() else {"document_id"}
        json.dumps(call.to_wire(), allow_nan=False)
    assert wrong <= set(EVERY_KIND)


@given(body=st.fixed_dictionaries({}, optional=dict.fromkeys(EVERY_KIND, ANYTHING)))
def test_values_are_what_the_schema_of_the_rule_makes_of_them(every_kind: Rule, body: dict[str, Any]) -> None:
    extractor = every_kind.extractor
    fields = {str(field.data_key): field for field in extractor.schema.load_fields.values()}
    said = {name: fields[name].said(value) for name, value in extractor.find(context(body)).items()}
    found = {name: value for name, value in said.items() if value is not missing}
    errors = extractor.schema.validate(found)

    if errors:
        with pytest.raises(InvalidEventError) as caught:
            extractor.extract(context(body))
        assert caught.value.errors == errors
    else:
        assert list(extractor.extract(context(body)).items()) == list(extractor.schema.load(found).items())


@pytest.mark.parametrize(
    ("spec", "value", "expected"),
    [
        ({"type": "integer", "min": 1, "max": 5}, 1, 1),
        ({"type": "integer", "min": 1, "max": 5}, 6, "expected from 1 to 5"),
        ({"type": "integer", "min": 1}, 0, "expected at least 1"),
        ({"type": "number", "max": 0.5}, "0.6", "expected at most 0.5"),
        ({"max_length": 3}, "abcd", "expected at most 3 characters"),
        ({"type": "list", "max_length": 1}, [1, 2], "expected at most 1 entries"),
        ({"choices": ["a", "b"]}, "c", "expected one of a, b"),
        ({"choices": ["a", "b"]}, "b", "b"),
        ({"type": "integer", "choices": [1, 2]}, "2", 2),
        ({"type": "list", "choices": ["a", "b"]}, ["b", "a"], ["b", "a"]),
        ({"type": "list", "choices": ["a", "b"]}, ["b", "c"], "expected one of a, b"),
        ({"type": "list", "items": "integer"}, ["1", 2], [1, 2]),
        ({"type": "list", "items": "integer"}, ["x"], "expected a whole number"),
        ({"type": "list", "items": "boolean"}, ["yes", False], ["Y", "N"]),
        ({"required": True}, None, "missing: expected text"),
        ({"required": True}, "  ", "missing: expected text"),
        ({"type": "integer", "default": 7}, None, 7),
        ({"type": "integer", "default": 7}, "", 7),
        ({"type": "boolean", "default": False}, None, "N"),
        ({"type": "date", "default": "2026-01-31"}, None, "2026-01-31"),
        ({"type": "list", "default": ["a"]}, None, ["a"]),
        ({"type": "integer"}, "", ""),
        ({}, None, ""),
    ],
)
def test_a_value_keeps_to_its_bounds(tmp_path: Path, spec: dict[str, Any], value: Any, expected: Any) -> None:
    extract = {"load": {"from": "body.v", **spec}}
    rule = rule_of(tmp_path, extract=extract, start={**START, "parameters": {"P": "{load}"}})
    if isinstance(expected, str) and expected.startswith(("expected", "missing")):
        assert errors_of(rule, {"v": value}) == {"load": [expected]}
    else:
        assert rule.to_intent(context({"v": value})).call.parameters == {"P": expected}


def test_the_first_path_that_finds_something_counts(tmp_path: Path) -> None:
    extract = {"email": {"from": ["body.email", "body.lead.email", "headers.mail"]}}
    rule = rule_of(tmp_path, extract=extract, start={**START, "parameters": {"E": "{email}"}})
    assert rule.to_intent(context({"email": "", "lead": {"email": "b"}})).call.parameters == {"E": "b"}
    assert rule.to_intent(context(None, mail="c")).call.parameters == {"E": "c"}


def test_every_field_that_is_wrong_is_named(tmp_path: Path) -> None:
    extract = {
        name: {"from": f"body.{name}", "type": "integer", "required": True} for name in ("a", "b", "fields", "Meta")
    }
    assert set(errors_of(rule_of(tmp_path, extract=extract), {"a": "x"})) == {"a", "b", "fields", "Meta"}


@pytest.mark.parametrize(
    ("template", "body", "expected"),
    [
        ("{n}", {"n": 5}, 5),
        ("user_{n}", {"n": 5}, "user_5"),
        ("user_{n}", {}, ""),
        ("{n}: {t}", {"t": "x"}, ": x"),
        ("{{n}}", {"n": 5}, "{n}"),
        ("{{{n}}}", {"n": 5}, "{5}"),
        ("{t}", {"t": "{n} {{ }"}, "{n} {{ }"),
        ("a {t}", {"t": "{n}", "n": 5}, "a {n}"),
        ("{l}", {"l": ["a", "b"]}, ["a", "b"]),
        ("l {l}", {"l": ["a", "b"]}, "l a, b"),
        ("b {b}", {"b": True}, "b Y"),
        (["user_{n}", "{l}", 7, None, True], {"n": 5, "l": ["a", "b"]}, ["user_5", "a", "b", 7, "Y"]),
        (["user_{n}", "{t}"], {"t": "x"}, ["x"]),
        (5, {}, 5), (1.5, {}, 1.5), (True, {}, "Y"), (None, {}, ""), ("", {}, ""), ("plain", {}, "plain"),
    ],
)  # fmt: skip
def test_a_parameter_is_filled_once_and_always_sent(tmp_path: Path, template: Any, body: Any, expected: Any) -> None:
    kinds = {"n": "integer", "t": "string", "l": "list", "b": "boolean"}
    extract = {name: {"from": f"body.{name}", "type": kind} for name, kind in kinds.items()}
    rule = rule_of(tmp_path, extract=extract, start={**START, "parameters": {"P": template}})
    assert rule.to_intent(context(body)).call.parameters == {"P": expected}


@given(value=st.text(min_size=1).filter(str.strip))
def test_no_text_of_a_sender_is_read_as_a_template(every_text: Rule, value: str) -> None:
    assert every_text.to_intent(context({"v": value, "other": "secret"})).call.parameters == {"P": f"<{value}>"}


@pytest.fixture(scope="module")
def every_text(tmp_path_factory: pytest.TempPathFactory) -> Rule:
    extract = {"v": {"from": "body.v"}, "other": {"from": "body.other"}}
    return rule_of(tmp_path_factory.mktemp("text"), extract=extract, start={**START, "parameters": {"P": "<{v}>"}})


RPA = "Bitrix\\Rpa\\Integration\\Bizproc\\Document\\Item"
CRM = "Bitrix\\Crm\\Integration\\BizProc\\Document\\"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"lead": "{id}"}, ("crm", "CCrmDocumentLead", "LEAD_7")),
        ({"deal": "{id}"}, ("crm", "CCrmDocumentDeal", "DEAL_7")),
        ({"contact": "{id}"}, ("crm", "CCrmDocumentContact", "CONTACT_7")),
        ({"company": "{id}"}, ("crm", "CCrmDocumentCompany", "COMPANY_7")),
        ({"quote": "{id}"}, ("crm", f"{CRM}Quote", "QUOTE_7")),
        ({"invoice": "{id}"}, ("crm", f"{CRM}SmartInvoice", "SMART_INVOICE_7")),
        ({"dynamic": [147, "{id}"]}, ("crm", f"{CRM}Dynamic", "DYNAMIC_147_7")),
        ({"feed": "{id}"}, ("lists", "BizprocDocument", "7")),
        ({"list": "{id}"}, ("lists", "Bitrix\\Lists\\BizprocDocumentLists", "7")),
        ({"file": "{id}"}, ("disk", "Bitrix\\Disk\\BizProcDocument", "7")),
        ({"lead": 5}, ("crm", "CCrmDocumentLead", "LEAD_5")),
        (["crm", "CCrmDocumentLead", "LEAD_{id}"], ("crm", "CCrmDocumentLead", "LEAD_7")),
        (["rpa", RPA, "2:{id}"], ("rpa", RPA, "2:7")),
        (["lists", "BizprocDocument", 5], ("lists", "BizprocDocument", "5")),
    ],
)  # fmt: skip
def test_a_document_is_named_as_bitrix24_names_it(
    tmp_path: Path, document: Any, expected: tuple[str, str, str]
) -> None:
    rule = rule_of(tmp_path, extract={"id": {"from": "body.id"}}, start={**START, "document_id": document})
    assert rule.to_intent(context({"id": 7})).call.document_id == expected


@pytest.mark.parametrize(
    "value", [None, "", "0", "-1", "1.5", "7; DROP", "07", "LEAD_7", "147_7", "\u0667", "1" * 20, "7\n", True]
)
def test_a_short_form_takes_only_a_number(tmp_path: Path, value: Any) -> None:
    rule = rule_of(tmp_path, extract={"id": {"from": "body.id"}}, start={**START, "document_id": {"lead": "{id}"}})
    assert list(errors_of(rule, {"id": value})) == ["id"]


@pytest.mark.parametrize("value", [None, "", "a\nb", "x" * 300])
def test_a_full_document_needs_its_value_too(tmp_path: Path, value: Any) -> None:
    document = ["crm", "CCrmDocumentLead", "LEAD_{id}"]
    rule = rule_of(tmp_path, extract={"id": {"from": "body.id"}}, start={**START, "document_id": document})
    assert list(errors_of(rule, {"id": value})) == ["id"]
