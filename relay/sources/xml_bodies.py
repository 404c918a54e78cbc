"""Turns XML into plain values: maps, lists and text. A stranger's bytes come here before anything is proven.

`<lead id="7"><phone>1</phone><phone>2</phone></lead>` is {"lead": {"@id": "7", "phone": ["1", "2"]}}. An element
without attributes and children is its text. A name that comes more than once is a list, in order. The text beside
attributes or children is under `#text`. Prefixes of namespaces are dropped; comments and instructions are not read.

A document type is refused, and with it every entity beyond the five of XML: no reference is expanded, and nothing else
is fetched. Depth and number of values have the limits of JSON, and are checked while the parser reads.
"""

from __future__ import annotations

import re
from typing import Any

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, XMLParser

from relay.core.errors import UnreadableError
from relay.core.faults import fault
from relay.sources.charsets import UTF_8, codec_of, read_text

_MARKS = {b"\xef\xbb\xbf": UTF_8, b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_DECLARED = re.compile(rb"\s*<\?xml\s[^>]{0,200}?\bencoding\s*=\s*[\"']([A-Za-z0-9._-]{1,40})[\"']")


def read_xml(body: bytes, charset: str | None, most_values: int, max_depth: int) -> dict[str, Any]:
    """Read an XML 1.0 document as a map with its root. charset: the one that the content type names.

    most_values: of elements and attributes together. max_depth: of elements in elements. Raises UnreadableError.
    """
    text = read_text(body, _charset_of(body, charset)).removeprefix("\ufeff")
    builder = _Builder(most_values, max_depth)
    # The parser takes a text as it is, whatever encoding the text declares.
    parser = XMLParser(target=builder, forbid_dtd=True)
    # Its own handlers only copy what expat gives, and take as long as everything else.
    parser.parser.StartElementHandler = builder.start
    parser.parser.EndElementHandler = builder.end
    try:
        parser.feed(text)
        parser.close()
    except DefusedXmlException:
        raise UnreadableError(fault("xml_document_type")) from None
    except ParseError as error:
        line, column = error.position
        raise UnreadableError(fault("xml_invalid", line=line, column=column + 1)) from None
    return builder.document


def _charset_of(body: bytes, named: str | None) -> str:
    """The charset of a body: its mark counts before the content type, and that before the declaration (RFC 7303)."""
    for mark, charset in _MARKS.items():
        if body.startswith(mark):
            return charset
    if named:
        return named
    declared = _DECLARED.match(body)
    charset = declared[1].decode("ascii") if declared else UTF_8
    # A declaration that can be read byte by byte is not in UTF-16: .NET writes so what it sends as UTF-8.
    return UTF_8 if (codec_of(charset) or "").startswith("utf-16") else charset


class _Builder:
    """Makes the values while the parser reads. Raises UnreadableError at the first element beyond a limit."""

    def __init__(self, most_values: int, max_depth: int) -> None:
        self.document: dict[str, Any] = {}
        self._max_depth, self._most, self._left = max_depth, most_values, most_values
        self._open: list[tuple[dict[str, Any], list[str]]] = [(self.document, [])]

    def start(self, _name: str, attributes: list[str]) -> None:
        """An element begins. attributes: names and values in turn."""
        self._left -= 1 + len(attributes) // 2
        if self._left < 0:
            raise UnreadableError(fault("too_many_values", most_values=self._most))
        if len(self._open) > self._max_depth:
            raise UnreadableError(fault("too_deep", max_depth=self._max_depth))
        members: dict[str, Any] = {}
        for at in range(0, len(attributes), 2):
            _add(members, f"@{_local(attributes[at])}", attributes[at + 1])
        self._open.append((members, []))

    def data(self, text: str) -> None:
        """A piece of an element's text."""
        self._open[-1][1].append(text)

    def end(self, name: str) -> None:
        """An element ends."""
        members, pieces = self._open.pop()
        text = "".join(pieces)
        if members and (inner := text.strip()):
            members["#text"] = inner
        _add(self._open[-1][0], _local(name), members or text)


def _local(name: str) -> str:
    """The name without its namespace."""
    return name.rpartition("}")[2]


def _add(members: dict[str, Any], name: str, value: Any) -> None:
    # A value is a text or a map, so that a list here always holds several of them.
    earlier = members.get(name)
    if earlier is None:
        members[name] = value
    elif isinstance(earlier, list):
        earlier.append(value)
    else:
        members[name] = [earlier, value]
