"""Pages without a browser: asked for, pressed on, as a tree, and what a browser would send with the form on one."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

SAME = {"Origin": "http://localhost", "Accept": "text/html"}
"""What a browser says of itself on a page of ours."""
VOID = {"meta", "link", "input", "br", "hr", "img"}


def ask(client: FlaskClient, path: str) -> str:
    """The page there."""
    answer = client.get(path, headers=SAME)
    assert answer.status_code == 200, answer.text
    return answer.text


def press(client: FlaskClient, path: str, status: int = 303, **fields: Any) -> TestResponse:
    """Send the form of a button; the answer, which has this status."""
    answer = client.post(path, data=fields, headers=SAME)
    assert answer.status_code == status, answer.text
    return answer


class Page(HTMLParser):
    """One page. Its markup is ours and closes what it opens, but for paragraphs and the like inside of lists."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.root = Element("page")
        self._open = [self.root]
        self._last: Element | None = None
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = SubElement(self._open[-1], tag, {name: value or "" for name, value in attrs})
        self._last = None
        if tag in VOID:
            self._last = made
        else:
            self._open.append(made)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        while self._open[-1].tag != tag:
            self._open.pop()
        self._last = self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._last is not None:
            self._last.tail = (self._last.tail or "") + data
        else:
            self._open[-1].text = (self._open[-1].text or "") + data

    def at(self, path: str) -> Element:
        """The one element of this path of ElementTree."""
        (found,) = self.root.findall(path)
        return found

    def text(self, path: str = ".") -> str:
        """The text of the elements of this path, with single blanks."""
        return re.sub(r"\s+", " ", " ".join("".join(one.itertext()) for one in self.root.findall(path))).strip()

    def fields(self, form: str) -> dict[str, str]:
        """What a browser would send with the form of this id, without a button."""
        fields = {}
        for one in self.at(f".//form[@id='{form}']").iter():
            given, name = one.attrib, one.get("name", "")
            is_chosen = given.get("type") != "radio" or "checked" in given
            if one.tag == "input" and is_chosen:
                fields[name] = given.get("value", "")
            elif one.tag == "select":
                options = list(one.iter("option"))
                chosen = next((option for option in options if "selected" in option.attrib), *options[:1])
                fields[name] = chosen.get("value", "")
            elif one.tag == "textarea":
                fields[name] = (one.text or "").removeprefix("\n")
        return fields
