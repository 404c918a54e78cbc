"""Form fields that hold JSON: joined with the form, or each read in its place."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlencode

import pytest

from relay.core.errors import ConfigError, UnreadableError
from relay.sources import load_sources
from relay.sources.bodies import FORM, JSON, BodyReader


def read(form: dict[str, Any] | list[tuple[str, str]], *names: str, **more: Any) -> Any:
    return BodyReader(json_values=names, **more).read("POST", FORM, "", urlencode(form, doseq=True).encode())


@pytest.mark.parametrize(
    ("form", "name", "expected"),
    [
        ({"events": '[{"id": 1}]', "a": "[1]"}, "events", {"events": [{"id": 1}], "a": "[1]"}),
        ({"events": "[]"}, "events", {"events": []}),
        ({"events": "5"}, "events", {"events": 5}),
        ({"events": ""}, "events", {"events": ""}),
        ({"events": " "}, "events", {"events": " "}),
        ({"a": "1"}, "events", {"a": "1"}),
        ({"events": ["{}", "[1]", ""]}, "events", {"events": [{}, [1], ""]}),
        ({"a[b]": '{"c": 1}', "a[d]": "{}"}, "a[b]", {"a": {"b": {"c": 1}, "d": "{}"}}),
        ({"a[b][c]": "[1]"}, "a[b][c]", {"a": {"b": {"c": [1]}}}),
        ({"a": "[1]"}, "a[b]", {"a": "[1]"}),
        ({"a[0]": "[1]", "a[1]": "[2]"}, "a[1]", {"a": ["[1]", [2]]}),
        ({"rows[]": ["{}", "[1]"]}, "rows[]", {"rows": [{}, [1]]}),
        ({"rows[0][f]": "{}", "rows[1][f]": "[]", "rows[1][g]": "{}"}, "rows[][f]",
         {"rows": [{"f": {}}, {"f": [], "g": "{}"}]}),
        ({"rows[x][f]": "{}"}, "rows[][f]", {"rows": {"x": {"f": {}}}}),
    ],
)  # fmt: skip
def test_a_field_that_holds_json_is_read_in_its_place(form: Any, name: str, expected: object) -> None:
    assert read(form, name) == expected


def test_several_fields_are_read_and_then_the_one_that_joins_the_form() -> None:
    form = {"payload": '{"x": 1}', "meta": "[1]", "a": "2"}
    assert read(form, "meta", json_field="payload") == {"x": 1, "meta": [1], "a": "2"}


@pytest.mark.parametrize("blank", ["", " "])
def test_a_blank_field_joins_nothing_to_the_form(blank: str) -> None:
    assert read({"payload": blank, "a": "2"}, json_field="payload") == {"payload": blank, "a": "2"}


def test_the_json_of_a_query_or_of_a_json_body_is_read_alike() -> None:
    reader = BodyReader(json_values=("events",))
    assert reader.read("GET", "", "events=%5B1%5D", b"") == {"events": [1]}
    assert reader.read("POST", JSON, "", b'{"events": "[1]"}') == {"events": [1]}
    assert reader.read("POST", JSON, "", b'["[1]"]') == ["[1]"]


@pytest.mark.parametrize("value", ["{", "hello", "[1] [2]", '"\\ud800"', "[" * 70 + "]" * 70, "NaN"])
def test_a_field_that_holds_something_else_is_named_without_what_it_holds(value: str) -> None:
    with pytest.raises(UnreadableError, match=r"^the form field events is ") as caught:
        read({"events": value}, "events")
    assert "hello" not in str(caught.value)
    with pytest.raises(UnreadableError, match=r"^the form field events is "):
        read({"events": value}, json_field="events")


def from_base64(value: Any) -> Any:
    body = urlencode({"data": value}, doseq=True).encode()
    return BodyReader(base64_json=("data",)).read("POST", FORM, "", body)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("eyJhIjoxfQ==", {"a": 1}),
        ("eyJhIjoxfQ", {"a": 1}),
        (" eyJhIjoxfQ== ", {"a": 1}),
        ("eyJhIjoi0LbQtj8_In0=", {"a": "жж??"}),
        ("eyJhIjoi0LbQtj8/In0=", {"a": "жж??"}),
        ("", ""),
        (["MQ==", "Mg=="], [1, 2]),
    ],
)
def test_a_field_that_holds_base64_of_json_is_read_in_its_place(value: Any, expected: object) -> None:
    assert from_base64(value) == {"data": expected}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("!", "does not hold base64"),
        ("ж", "does not hold base64"),
        ("eyJhI", "does not hold base64"),
        ("gA==", "the form field data is "),
        ("e30x", "the form field data is "),
        ("MQ==MQ==", "does not hold base64"),
    ],
)
def test_a_field_that_holds_no_base64_of_json_is_named_without_what_it_holds(value: str, words: str) -> None:
    with pytest.raises(UnreadableError, match=words) as caught:
        from_base64(value)
    assert value not in str(caught.value)


def test_all_fields_of_base64_together_have_no_more_values_than_a_body_may_have() -> None:
    many = base64.b64encode(f"[{'1,' * 6_000}1]".encode()).decode()
    assert len(from_base64(many)["data"]) == 6_001
    with pytest.raises(UnreadableError, match="values"):
        from_base64([many, many])


def test_a_file_is_no_json() -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\n{}\r\n--x--'
    reader = BodyReader(json_values=("a",))
    assert reader.read("POST", "multipart/form-data; boundary=x", "", body) == {"a": {"filename": "b", "size": 2}}


def test_all_fields_together_have_no_more_values_than_a_body_may_have() -> None:
    many = f"[{'1,' * 5_000}1]"
    assert read({"a": many}, "a", "b")
    with pytest.raises(UnreadableError, match="values"):
        read({"a": many, "b": many}, "a", "b")
    with pytest.raises(UnreadableError, match="values"):
        read([("a", many)] * 20, "a")


def test_more_values_are_read_where_more_are_allowed() -> None:
    many = f"[{'1,' * 20_000}1]"
    assert len(read({"a": many}, "a", most_values=50_000)["a"]) == 20_001
    assert len(BodyReader(most_values=50_000).read("POST", JSON, "", many.encode())) == 20_001
    with pytest.raises(UnreadableError, match="more than 10000 values"):
        BodyReader().read("POST", JSON, "", many.encode())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("json_values: events", "found 'events', expected a list of form fields"),
        ("json_values: ['a[b']", "expected a list of form fields"),
        ("json_values: []", "expected a list of form fields"),
        ("fallback_charset: windows1251", "found 'windows1251', expected the name of a charset"),
        ("fallback_charset: zip", "expected the name of a charset"),
    ],
)
def test_a_mistake_in_how_bodies_are_read_is_named(tmp_path: Any, line: str, words: str) -> None:
    path = tmp_path / "sources.yaml"
    path.write_text(f"sources:\n  site:\n    verify: {{kind: none}}\n    {line}\n", "utf-8")
    with pytest.raises(ConfigError, match=r"sources.yaml:4: ") as caught:
        load_sources(path, {})
    assert words in str(caught.value)


def test_a_source_reads_its_bodies_as_it_is_configured(tmp_path: Any) -> None:
    path = tmp_path / "sources.yaml"
    path.write_text(
        "sources: {site: {verify: {kind: none}, json_field: payload, json_values: [events, 'a[b]'],"
        " base64_json: [data], fallback_charset: koi8-r}}",
        "utf-8",
    )
    assert load_sources(path, {})["site"].bodies == BodyReader(
        "payload", ("events", "a[b]"), "koi8-r", base64_json=("data",)
    )


BATCH = "each: body.events"


@pytest.mark.parametrize(
    ("verify", "more", "is_read"),
    [
        ("{kind: token, header: X-T, secrets: [A_SECRET]}", BATCH, True),
        ("{kind: token, header: X-T, secrets: [A_SECRET]}", "", False),
        ("{kind: none}", BATCH, False),
        ("{kind: token, field: token, secrets: [A_SECRET]}", BATCH, False),
    ],
    ids=["a proven batch", "one event", "a batch of nobody knows whom", "a batch that is read to be proven"],
)
def test_a_batch_whose_sender_is_proven_may_have_more_values(
    tmp_path: Any, verify: str, more: str, is_read: bool
) -> None:
    path = tmp_path / "sources.yaml"
    path.write_text(f"sources:\n  site:\n    verify: {verify}\n    max_body: 1MB\n    {more}\n", "utf-8")
    source = load_sources(path, {"A_SECRET": "secret"})["site"]
    body = json.dumps({"events": [{"a": 1, "b": 2}] * 9_000}).encode()
    if is_read:
        assert len(source.read("POST", JSON, "", body)["events"]) == 9_000
        return
    with pytest.raises(UnreadableError, match="more than 10000 values"):
        source.read("POST", JSON, "", body)
