"""The form that a browser posts when a user opens the application, read within bounds, as it is sealed.

Source of the fields: b24restdocs, settings/oauth/simple-way.md and api-reference/widgets/_includes/widget_data.md. All
of it is the browser's word. The addresses in it are never called: `SERVER_ENDPOINT` is not even read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from werkzeug.datastructures import MultiDict

LONGEST_FORM = 16_000
LONGEST_SEALED = 8_000
"""Bytes: of a form, and of what is kept of it before it is sealed."""
KEPT = (
    "AUTH_ID", "REFRESH_ID", "AUTH_EXPIRES", "member_id", "DOMAIN", "PLACEMENT", "PLACEMENT_OPTIONS",
    "APPLICATION_TOKEN", "APPLICATION_SCOPE", "LANG",
)  # fmt: skip
"""The fields that a worker needs."""
FORM = "application/x-www-form-urlencoded"
_TOKEN = re.compile(r"[\w.:-]{10,1000}", re.ASCII)
_MEMBER = re.compile(r"[0-9A-Za-z]{1,64}")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?::[0-9]{1,5})?")
LOOPBACK = ("127.0.0.1", "localhost")
TAGS: Mapping[str, str] = {"ua": "uk", "la": "es", "br": "pt", "kz": "kk", "vn": "vi", "sc": "zh", "tc": "zh-TW"}
"""Languages that Bitrix24 calls otherwise than BCP 47. Source: b24restdocs, api-reference/common/users (LANG)."""


class MalformedError(Exception):
    """The form is none of Bitrix24's; `reason` is a word for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Posted:
    """A form of Bitrix24. fields: those that a worker needs. host: of the portal, as the browser says."""

    fields: Mapping[str, str] = field(repr=False)
    host: str

    def to_wire(self) -> bytes:
        """The fields as they are sealed: a JSON object."""
        return json.dumps(self.fields, ensure_ascii=False, separators=(",", ":")).encode()


def read_posted(query: MultiDict[str, str], form: MultiDict[str, str]) -> Posted:
    """The form of an opening. The portal puts some fields into the query. Raises MalformedError."""
    given = {name: value for name in KEPT if (value := form.get(name) or query.get(name))}
    if not (_TOKEN.fullmatch(given.get("AUTH_ID", "")) and _TOKEN.fullmatch(given.get("REFRESH_ID", ""))):
        raise MalformedError("without_tokens")
    if not _MEMBER.fullmatch(given.get("member_id", "")):
        raise MalformedError("without_member_id")
    host = host_in(query) or host_in(form)
    if not host:
        raise MalformedError("without_domain")
    posted = Posted(given | {"DOMAIN": host}, host)
    if len(posted.to_wire()) > LONGEST_SEALED:
        raise MalformedError("too_large")
    return posted


def host_in(given: MultiDict[str, str]) -> str:
    """The host of a portal that a query or a form names, in lower case; empty if that is no host."""
    host = given.get("DOMAIN", "").lower()
    return host if _HOST.fullmatch(host) else ""


def language_in(named: str) -> str:
    """The tag (BCP 47) of a language that Bitrix24 names, such as `ua`."""
    named = named.lower()[:16]
    return TAGS.get(named, named)


def origin_of(host: str) -> str:
    """The origin of a portal's pages: https, or http on this machine, where the sandbox is."""
    return f"http://{host}" if host.partition(":")[0] in LOOPBACK else f"https://{host}"
