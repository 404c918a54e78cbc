"""XML that unfolds, reaches out or goes on for ever: it is given up at a limit, and nothing in it is looked up."""

from __future__ import annotations

import gzip
import socket
import tracemalloc

import pytest

from relay.core.errors import UnreadableError
from relay.sources import xml_bodies
from relay.sources.bodies import MAX_DEPTH, MAX_VALUES, BodyReader

CAP = 1_000_000
READER = BodyReader(xml=True)
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 20))
BOMBS = {
    "laughs": f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]><a>&l19;</a>',
    "one entity often": f'<!DOCTYPE a [<!ENTITY x "{"x" * 50_000}">]><a>{"&x;" * 50_000}</a>',
    "an entity of attributes": f'<!DOCTYPE a [<!ENTITY x "{"x" * 50_000}">]><a b="{"&x;" * 50_000}"/>',
    "parameters": "<!DOCTYPE a [<!ENTITY % x \"<!ENTITY y 'z'>\">%x;]><a>&y;</a>",
    "defaults": '<!DOCTYPE a [<!ATTLIST a b CDATA "c">]><a/>',
    "a file": '<!DOCTYPE a [<!ENTITY x SYSTEM "/etc/passwd">]><a>&x;</a>',
    "an address": '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd"><a/>',
    "an address as a parameter": '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:9/">%x;]><a/>',
    "another document": '<a xmlns:x="http://www.w3.org/2001/XInclude"><x:include href="/etc/passwd"/></a>',
    "levels": "<a>" * (CAP // 3),
    "elements": "<a>" + "<b/>" * (CAP // 4),
    "attributes": "<a " + " ".join(f"a{n}=''" for n in range(CAP // 10)) + "/>",
    "attributes that are not ended": "<a " + " ".join(f"a{n}=''" for n in range(CAP // 10)),
    "prefixes": "<a " + " ".join(f"xmlns:a{n}='u'" for n in range(CAP // 17)) + "><b/></a>",
    "comments": "<a>" + "<!--" * (CAP // 4),
    "pieces of text": "<a>" + "x<!---->" * (CAP // 8) + "</a>",
}


@pytest.mark.parametrize("charset", ["utf-8", "utf-16"])
@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_no_xml_is_more_work_or_room_than_its_limits(bomb, charset, monkeypatch):
    begun: list[str] = []
    real = xml_bodies._Builder.start
    monkeypatch.setattr(xml_bodies._Builder, "start", lambda self, *given: begun.append(given[0]) or real(self, *given))
    monkeypatch.setattr(socket, "socket", None)  # what asks for an address fails
    body = bomb.encode(charset)

    tracemalloc.start()
    try:
        found = READER.read("POST", "text/xml", "", body)
    except UnreadableError:
        found = None
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert len(begun) <= MAX_VALUES + 1
    assert peak < 25 * CAP
    assert "root:" not in str(found)
    assert found is None or bomb == BOMBS["another document"] or len(str(found)) < 2 * CAP


def test_a_document_type_is_refused_before_anything_in_it_is_read(monkeypatch):
    monkeypatch.setattr(xml_bodies._Builder, "start", None)
    for name in (
        "laughs",
        "one entity often",
        "an entity of attributes",
        "parameters",
        "defaults",
        "a file",
        "an address",
    ):
        with pytest.raises(UnreadableError, match="document type"):
            READER.read("POST", "text/xml", "", BOMBS[name].encode())


def test_the_first_level_too_many_is_the_last_that_is_read(monkeypatch):
    begun: list[str] = []
    real = xml_bodies._Builder.start
    monkeypatch.setattr(xml_bodies._Builder, "start", lambda self, *given: begun.append(given[0]) or real(self, *given))
    with pytest.raises(UnreadableError, match="deeper"):
        READER.read("POST", "text/xml", "", b"<a>" * 300_000)
    assert len(begun) == MAX_DEPTH + 1


def test_packed_xml_of_a_stranger_is_unpacked_no_further_than_other_bodies(relay):
    source = {"verify": {"kind": "token", "field": "a.token"}, "secrets": ["TOKEN"], "xml": True}
    client = relay({"one": source}, [], {"TOKEN": "the-token-of-the-test"})
    packed = gzip.compress(b"<a>" + b"<b/>" * 5_000_000 + b"</a>")
    headers = {"Content-Type": "text/xml", "Content-Encoding": "gzip"}
    assert client.post("/hooks/one", data=packed, headers=headers).status_code == 401
