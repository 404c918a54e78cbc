"""What every sender's module needs: requests as they go over the wire, and what is said about them in about.yaml."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlencode

import yaml

CORPUS = Path(__file__).resolve().parents[1]
PROFILES = CORPUS.parents[2] / "relay" / "sources" / "profiles"
HOST = "relay.example.com"
AT = datetime(2026, 6, 1, 12, tzinfo=UTC)
"""When every request was signed."""
STAMP = int(AT.timestamp())
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
LINE_END = b"\r\n"

Pairs = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Request:
    """One HTTP request, not yet proven."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def url(self) -> str:
        """The address as the sender calls it."""
        return f"https://{HOST}{self.target}"

    def with_headers(self, **headers: str) -> Request:
        """The request with more headers; an underscore is a hyphen."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return Request(self.method, self.target, {**self.headers, **more}, self.body)

    def with_query(self, query: str) -> Request:
        """The request with more in its query."""
        joint = "&" if "?" in self.target else "?"
        return Request(self.method, f"{self.target}{joint}{query}", self.headers, self.body)

    def with_body(self, body: bytes) -> Request:
        return Request(self.method, self.target, self.headers, body)

    def raw(self) -> bytes:
        """The bytes on the wire."""
        headers = {"Host": HOST, **self.headers}
        if self.body or self.method in {"POST", "PUT", "PATCH"}:
            headers["Content-Length"] = str(len(self.body))
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return LINE_END.join(line.encode("latin-1") for line in [*lines, "", ""]) + self.body


Sign = Callable[[Request, str], Request]
"""Gives a request its proof by a secret."""


def compact(content: Any) -> bytes:
    """JSON as JavaScript writes it."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


def php(content: Any) -> bytes:
    """JSON as PHP's json_encode writes it."""
    return json.dumps(content, separators=(",", ":")).replace("/", "\\/").encode()


def spaced(content: Any) -> bytes:
    """JSON as Python and Ruby on Rails write it."""
    return json.dumps(content, ensure_ascii=False).encode()


def urlencoded(fields: Mapping[str, str] | Pairs, charset: str = "utf-8") -> bytes:
    """A form as browsers and PHP write it."""
    pairs = fields.items() if isinstance(fields, Mapping) else fields
    return urlencode(list(pairs), encoding=charset, quote_via=quote_plus).encode()


def multipart(fields: Mapping[str, str], boundary: str) -> bytes:
    """A multipart form."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    return ("".join(parts) + f"--{boundary}--\r\n").encode()


def header(name: str, prefix: str = "") -> Sign:
    """The secret itself, in a header."""
    return lambda request, secret: Request(
        request.method, request.target, {**request.headers, name: prefix + secret}, request.body
    )


def query(name: str) -> Sign:
    """The secret itself, in the query."""
    return lambda request, secret: request.with_query(urlencode({name: secret}))


@dataclass
class Sender:
    """A profile's requests. secret: what it signs with; more: further secrets by the end of their variable.

    sees: the JMESPath whose value each event shows. answer: what a recorded event is answered with; None: our receipt.
    signed_by: who made the proof. options: further keys of the source. covers: "nothing" where the proof says nothing
    about the body; else the whole of it, or a part, which is not tried by changing a byte. address: where it sends
    from, if that matters.
    """

    profile: str
    sees: str
    sign: Sign
    secret: str = ""
    wrong: str = "another-secret-of-the-corpus"
    signed_by: str = "the documentation"
    more: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    answer: Mapping[str, Any] | None = None
    covers: str = "all"
    agent: str = ""
    address: str = ""
    requests: dict[str, tuple[Request, dict[str, Any]]] = field(default_factory=dict)
    plain: dict[str, Request] = field(default_factory=dict)

    @property
    def variable(self) -> str:
        return f"SENDER_{self.profile.upper().replace('-', '_')}"

    def write(self) -> None:
        """The folder of this sender, anew."""
        folder = CORPUS / self.profile
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        for name, (request, _) in self.requests.items():
            (folder / f"{name}.http").write_bytes(request.raw())
        text = yaml.safe_dump(self._about(), sort_keys=False, allow_unicode=True, width=118, default_flow_style=None)
        (folder / "about.yaml").write_text(text, "utf-8")

    def _about(self) -> dict[str, Any]:
        environ = {self.variable: self.secret} if self.secret else {}
        environ |= {f"{self.variable}_{end}": value for end, value in self.more.items()}
        named = {"secrets": [self.variable]} if self.secret else {}
        about: dict[str, Any] = {"source": {"profile": self.profile, **named, **self.options}, "environ": environ}
        about |= {"at": AT.isoformat(), "signed_by": self.signed_by, "covers": self.covers, "sees": self.sees}
        if self.answer is not None:
            about["answer"] = dict(self.answer)
        if self.address:
            about["address"] = self.address
        about["requests"] = {f"{name}.http": expected for name, (_, expected) in self.requests.items()}
        return about

    # What a module says, one line a request.

    def post(self, name: str, body: bytes, events: list[str], content_type: str = JSON, **more: Any) -> None:
        """An event, or several; `events` are the values that `sees` finds. `sign`: another proof than the usual."""
        request = self.request(body, content_type, **more)
        self._add(name, request, {"events": events} | more.get("expected", {}), more.get("sign"))

    def sample(self, name: str, events: list[str], write: Callable[[Any], bytes] = compact, **more: Any) -> None:
        """The profile's own sample, written as the sender writes it."""
        sample = yaml.safe_load((PROFILES / f"{self.profile}.yaml").read_text("utf-8"))["sample"]
        encode = urlencoded if sample["type"].startswith(FORM) else write
        more["headers"] = {**sample.get("headers", {}), **more.get("headers", {})}
        self.post(name, encode(sample["body"]), events, sample["type"], **more)

    def again(self, name: str, of: str, body: bytes | None = None, sign: Sign | None = None, **headers: str) -> None:
        """The sender's repeat of a request, maybe with another body or more headers."""
        request = self.plain[of].with_headers(**headers)
        request = request if body is None else request.with_body(body)
        self._add(name, request, {"repeats": f"{of}.http"}, sign)

    def forged(self, of: str, name: str = "wrong-proof", reason: str = "signature_mismatch", **more: Any) -> None:
        """A request whose proof was made with another secret."""
        signed = (more.get("sign") or self.sign)(self.plain[of], more.get("wrong", self.wrong))
        self.requests[name] = (signed, {"refused": reason})

    def probe(self, name: str, request: Request, answer: Mapping[str, Any], *, is_signed: bool = False) -> None:
        """What is answered without an event."""
        signed = self.sign(request, self.secret) if is_signed else request
        self.requests[name] = (signed, {"probe": True, "answer": dict(answer)})

    def request(self, body: bytes, content_type: str = JSON, method: str = "POST", **more: Any) -> Request:
        """A request of this sender; `tail`, `query` and `headers` are more of it."""
        target = f"/hooks/{self.profile}" + (f"/{more['tail']}" if more.get("tail") else "")
        target += f"?{more['query']}" if more.get("query") else ""
        headers = {"User-Agent": self.agent} if self.agent else {}
        headers |= {"Content-Type": content_type} if content_type else {}
        return Request(method, target, headers | more.get("headers", {}), body)

    def _add(self, name: str, request: Request, expected: dict[str, Any], sign: Sign | None = None) -> None:
        self.plain[name] = request
        self.requests[name] = ((sign or self.sign)(request, self.secret), expected)


def plain_text(body: str, status: int = 200) -> dict[str, Any]:
    """An answer of text."""
    return {"status": status, "type": "text/plain; charset=utf-8", "body": body}


def json_text(body: str, status: int = 200) -> dict[str, Any]:
    """An answer of JSON."""
    return {"status": status, "type": JSON, "body": body}


EMPTY = plain_text("")
