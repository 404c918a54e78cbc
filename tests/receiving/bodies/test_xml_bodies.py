"""XML as its senders write it becomes maps, lists and text, in any of its charsets, and nothing in it is looked up."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import UnreadableError, UnsupportedTypeError
from relay.core.faults import code_of
from relay.core.lifecycle import EventState
from relay.operations.erase import Needle
from relay.operations.replay import edit_of
from relay.sources.bodies import MAX_DEPTH, MAX_VALUES, BodyReader
from relay.store.record.search import Filter, list_events
from tests.support.configs import rule_of
from tests.support.making import make_entry

XML = "application/xml"
READER = BodyReader(xml=True)
CYRILLIC = "<лид><имя>Анна</имя></лид>"
NAMED_CYRILLIC = {"лид": {"имя": "Анна"}}


def read(body: bytes | str, content_type: str = XML) -> Any:
    return READER.read("POST", content_type, "", body if isinstance(body, bytes) else body.encode())


SHAPES: dict[str, tuple[str, Any]] = {
    "a text": ("<a>1</a>", {"a": "1"}),
    "nothing": ("<a/>", {"a": ""}),
    "blanks": ("<a> 1 </a>", {"a": " 1 "}),
    "children, laid out in lines": ("<a>\n  <b>1</b>\n  <c/>\n</a>", {"a": {"b": "1", "c": ""}}),
    "a name that comes again": ("<a><b>1</b><c/><b><d>2</d></b></a>", {"a": {"b": ["1", {"d": "2"}], "c": ""}}),
    "attributes": ('<a id="7" x=""/>', {"a": {"@id": "7", "@x": ""}}),
    "attributes and a text": ('<a id="7"> 1 </a>', {"a": {"@id": "7", "#text": "1"}}),
    "text between children": ("<a>1<b/>2</a>", {"a": {"b": "", "#text": "12"}}),
    "prefixes": (
        '<s:a xmlns:s="urn:s" xmlns:t="urn:t"><t:b s:id="1" id="2"/><s:b/></s:a>',
        {"a": {"b": [{"@id": ["1", "2"]}, ""]}},
    ),
    "a name of no prefix": ('<a xmlns="urn:a"><b/></a>', {"a": {"b": ""}}),
    "references": ("<a>&lt;b&gt; &amp; &#x410;&#1085;&quot;&apos;</a>", {"a": "<b> & Ан\"'"}),
    "CDATA": ("<a>1<![CDATA[<b>&amp;]]>2</a>", {"a": "1<b>&amp;2"}),
    "comments and instructions": ("<?x y?><!-- 0 --><a>1<!-- 2 --><?p q?>3</a><!-- 4 -->", {"a": "13"}),
}


@pytest.mark.parametrize(("body", "expected"), SHAPES.values(), ids=SHAPES)
def test_xml_becomes_maps_lists_and_text(body, expected):
    assert read(body) == expected


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (XML, CYRILLIC.encode()),
        (XML, CYRILLIC.encode("utf-8-sig")),
        (XML, CYRILLIC.encode("utf-16")),
        (f"{XML}; charset=koi8-r", CYRILLIC.encode("utf-16")),
        (f"{XML}; charset=windows-1251", CYRILLIC.encode("cp1251")),
        (f'{XML}; charset="windows-1251"', f'<?xml version="1.0" encoding="utf-8"?>{CYRILLIC}'.encode("cp1251")),
        (XML, f'<?xml version="1.0" encoding="windows-1251"?>\n{CYRILLIC}'.encode("cp1251")),
        ("text/xml", f"<?xml version='1.0' encoding = 'KOI8-R' standalone='yes'?>{CYRILLIC}".encode("koi8-r")),
        (XML, f'<?xml version="1.0" encoding="utf-16"?>{CYRILLIC}'.encode()),
    ],
    ids=[
        "UTF-8", "a mark", "UTF-16", "a mark before the type", "the type", "the type before the declaration",
        "the declaration", "the declaration in other quotes", "a declaration that cannot be true",
    ],
)  # fmt: skip
def test_the_charset_is_what_the_mark_the_content_type_or_the_declaration_says(content_type, body):
    assert read(body, content_type) == NAMED_CYRILLIC


@pytest.mark.parametrize(
    "content_type", ["application/xml", "text/xml; charset=utf-8", "application/soap+xml", "Application/Atom+XML"]
)
def test_xml_is_read_only_where_the_source_says_so(content_type):
    assert read("<a>1</a>", content_type) == {"a": "1"}
    with pytest.raises(UnsupportedTypeError, match="xml: true"):
        BodyReader().read("POST", content_type, "", b"<a>1</a>")


WRONG: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "no_body"),
    "blanks": (b" ", "xml_invalid"),
    "no XML": (b'{"a": 1}', "xml_invalid"),
    "half": (b"<a><b>1</b>", "xml_invalid"),
    "two roots": (b"<a/><b/>", "xml_invalid"),
    "crossing ends": (b"<a><b></a></b>", "xml_invalid"),
    "an attribute twice": (b'<a b="1" b="2"/>', "xml_invalid"),
    "an unknown prefix": (b"<x:a/>", "xml_invalid"),
    "an unknown entity": (b"<a>&nbsp;</a>", "xml_invalid"),
    "a character that XML lacks": (b"<a>&#1;</a>", "xml_invalid"),
    "half a surrogate pair": (b"<a>&#xD800;</a>", "xml_invalid"),
    "NUL": (b"<a>\0</a>", "nul_character"),
    "a reference to NUL": (b"<a>&#0;</a>", "xml_invalid"),
    "UTF-16 without a mark": ("<a/>".encode("utf-16-le"), "nul_character"),
    "other bytes than it says": (b"<a>\xff</a>", "charset_wrong"),
    "an unknown charset": (b'<?xml version="1.0" encoding="rot13"?><a/>', "charset_unknown"),
    "a document type": (b"<!DOCTYPE a><a/>", "xml_document_type"),
    "a document type in UTF-16": ("<!DOCTYPE a><a/>".encode("utf-16"), "xml_document_type"),
    "an entity": (b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "xml_document_type"),
    "a file": (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "xml_document_type"),
    "one level too many": (b"<a>" * (MAX_DEPTH + 1) + b"</a>" * (MAX_DEPTH + 1), "too_deep"),
    "one value too many": (b"<a>" + b"<b/>" * MAX_VALUES + b"</a>", "too_many_values"),
    "one attribute too many": (b"<a>" + b'<b c=""/>' * (MAX_VALUES // 2) + b"</a>", "too_many_values"),
}


@pytest.mark.parametrize(("body", "code"), WRONG.values(), ids=WRONG)
def test_what_is_not_readable_xml_is_refused_with_its_reason(body, code):
    with pytest.raises(UnreadableError) as error:
        read(body)
    assert code_of(error.value.message) == code


def test_as_much_as_is_allowed_is_read():
    deepest = read(b"<a>" * MAX_DEPTH + b"</a>" * MAX_DEPTH)
    assert read(b"<a>" + b"<b/>" * (MAX_VALUES - 1) + b"</a>") == {"a": {"b": [""] * (MAX_VALUES - 1)}}
    for _ in range(MAX_DEPTH):
        deepest = deepest["a"]
    assert deepest == ""


NAMES = st.from_regex(r"[a-zж-я_][a-zж-я0-9_.-]{0,5}", fullmatch=True)
TEXTS = st.text(
    st.characters(
        min_codepoint=0x20, max_codepoint=0x1FFFF, exclude_categories=["Cs"], exclude_characters="\ufffe\uffff"
    ),
    max_size=12,
)
TREES = st.recursive(
    TEXTS,
    lambda inner: st.tuples(st.dictionaries(NAMES, TEXTS, max_size=3), st.lists(st.tuples(NAMES, inner), max_size=4)),
    max_leaves=12,
)


def element(name: str, tree: Any) -> ET.Element:
    """The element as the standard library makes it."""
    attributes, inner = ({}, tree) if isinstance(tree, str) else tree
    made = ET.Element(name, attributes)
    if isinstance(inner, str):
        made.text = inner
    else:
        made.extend(element(child, below) for child, below in inner)
    return made


def value(tree: Any) -> Any:
    """The value that the relay makes of it."""
    if isinstance(tree, str):
        return tree
    attributes, inner = tree
    found: dict[str, Any] = {f"@{name}": text for name, text in attributes.items()}
    for name in dict.fromkeys(name for name, _ in inner):
        values = [value(below) for child, below in inner if child == name]
        found[name] = values if len(values) > 1 else values[0]
    return found or ""


@given(NAMES, TREES, st.sampled_from(["utf-8", "utf-16", "windows-1251", "koi8-r"]))
def test_what_the_standard_library_writes_is_read_as_it_was(name, tree, charset):
    body = ET.tostring(element(name, tree), encoding=charset, xml_declaration=True)
    assert read(body) == {name: value(tree)}


PIECES = [
    b"<a>", b"</a>", b"<b/>", b"<", b">", b"&", b";", b"&#x1F600;", b"<![CDATA[", b"]]>", b"<!--", b"-->", b"<?x",
    b"?>", b"<!DOCTYPE a [", b"<!ENTITY b 'c'>", b"]>", b' x="1"', b"\xff\xfe", b"\xef\xbb\xbf", b"\0", b" ",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=30).map(b"".join))
def test_any_bytes_are_a_value_or_unreadable(body):
    try:
        found = read(body)
    except UnreadableError:
        return
    assert len(found) == 1


ORDER = """<?xml version="1.0" encoding="windows-1251"?>
<order id="7"><client><name>Анна &amp; Дом</name><phone>+7&#x39;161234567</phone></client></order>"""


@pytest.fixture
def client(relay):
    sources = {"shop": {"verify": {"kind": "token", "query": "token"}, "secrets": ["TOKEN"], "xml": True,
                        "dedup": {"from": 'body.order."@id"'}}}  # fmt: skip
    rule = rule_of("shop", name="body.order.client.name")
    return relay(sources, [rule], {"TOKEN": "the-token-of-the-test"})


def post(client, body: bytes):
    return client.post("/hooks/shop?token=the-token-of-the-test", data=body, headers={"Content-Type": XML})


def test_an_event_of_xml_makes_its_call_is_kept_byte_by_byte_and_known_again(client, record):
    body = ORDER.encode("cp1251")

    first, again = post(client, body), post(client, body)

    ((event, (delivery,)),) = [(row.event, row.deliveries) for row in list_events(record, Filter()).rows]
    assert (first.status_code, again.get_json()["duplicate"]) == (200, True)
    assert (event.state, event.body, event.duplicates) == (EventState.ACCEPTED, body, 1)
    assert delivery.call.parameters == {"Name": "Анна & Дом"}


def test_broken_xml_is_refused_where_it_breaks_and_kept(client, record):
    answer = post(client, b"<order>\n  <client>\n</order>")

    (row,) = list_events(record, Filter()).rows
    assert answer.status_code == 400
    assert answer.get_json()["detail"] == "not valid XML at line 3, column 3"
    assert row.event.state is EventState.REJECTED


def test_an_edited_body_is_utf_8_whatever_its_declaration_says():
    event = make_entry([], body=ORDER.encode("cp1251")).event
    for content_type in (XML, f"{XML}; charset=windows-1251", f"{XML}; charset=utf-8"):
        edited = edit_of(replace(event, content_type=content_type), ORDER.encode(), event.received_at)
        assert READER.read("POST", edited.content_type, "", edited.body)["order"]["client"]["name"] == "Анна & Дом"


def test_a_reference_with_any_number_of_zeros_is_its_character():
    zeros = "0" * 5_000
    assert Needle("жизнь").is_in(f"<b>&#{zeros}1078;&#x{zeros}438;знь</b>")
    assert not Needle("жизнь").is_in("<b>&#9999999;&#xffffff;изнь</b>")


@pytest.mark.parametrize("wanted", ["анна & дом", "+79161234567"])
def test_a_person_is_found_in_xml_however_the_letters_are_referred_to(wanted):
    referred = "".join(f"&#{ord(letter)};" for letter in "Анна & Дом")
    assert Needle(wanted).is_in(f"<a><b>{referred}</b><c>+7&#x39;161234567</c></a>")
