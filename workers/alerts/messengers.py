"""How a message gets out: a signed webhook, e-mail, or a chat of Bitrix24. Raises UnsentError; it is tried again later.

A message that is sent again has the same id, so that a receiver can tell; in a chat it has none. It names portals,
sources and counts, and nothing of a person.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import smtplib
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from functools import partial
from ipaddress import ip_address
from urllib.parse import urlsplit

from relay.configuration.alerts import Alerting, Chat, Hook, Mail
from relay.core.errors import ConfigError, Mistake, RelayError
from relay.core.faults import Fault, fault
from relay.core.ids import iso
from workers.alerts.news import News
from workers.http.deadline import DEADLINES, Deadline
from workers.http.exchange import Bounds, ExchangeError, Line
from workers.portal.client import PacedClient

TIMEOUT_S = 10.0
"""How long a receiver, or a mail server, may take in all. What it answers is not read, but for its status."""
BOUNDS = Bounds(connect_s=TIMEOUT_S, read_s=TIMEOUT_S, whole_s=TIMEOUT_S, most=64_000)
CHAT_METHOD = "im.message.add"
LONGEST_CHAT = 10_000
CUT = "\n… and more: see the dashboard"


class UnsentError(RelayError):
    """The channel did not take the message. The text never holds an address or a secret."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is said at once. id: the same for the same news. link: where a person looks; None where nobody has said.

    is_test: a person has asked for it, and nothing is wrong.
    """

    id: str
    at: datetime
    news: News
    link: str | None = None
    is_test: bool = False

    @property
    def subject(self) -> str:
        """How much of what, in a line."""
        if self.is_test:
            return "relay: a test"
        parts = ((self.news.new, "new"), (self.news.still, "still there"), (self.news.resolved, "resolved"))
        return "relay: " + ", ".join(f"{len(some)} {word}" for some, word in parts if some)

    @property
    def text(self) -> str:
        """A line for each trouble, and where to look."""
        new = "TEST" if self.is_test else "NEW"
        parts = ((self.news.new, new), (self.news.still, "STILL"), (self.news.resolved, "RESOLVED"))
        lines = [f"{word}: {text}" for some, word in parts for text in some.values()]
        return "\n".join([*lines, *([self.link] if self.link else [])])

    def to_json(self) -> bytes:
        """As Standard Webhooks wants it: type, timestamp, data. `text` is for chats that show nothing else."""
        groups = {"new": self.news.new, "still": self.news.still, "resolved": self.news.resolved}
        troubles = {name: [_wire(key, text) for key, text in some.items()] for name, some in groups.items()}
        content = {"type": "relay.alert", "timestamp": iso(self.at), "text": self.text, "data": troubles}
        return json.dumps(content, ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Channel:
    """Somebody to tell. kind: webhook, mail or chat. where: of whom a person may know, without a secret."""

    name: str
    send: Callable[[Message], None]
    kind: str = ""
    where: str = ""


def open_chats(alerting: Alerting, lines: Mapping[str, PacedClient]) -> list[Channel]:
    """The chats that these lines, by portal, lead to; the others are for the host that serves their portal."""
    chats = [chat for chat in alerting.chats if chat.portal in lines]
    return [
        Channel(chat.name, partial(say, chat, lines[chat.portal]), "chat", f"{chat.dialog_id} of {chat.portal}")
        for chat in chats
    ]


def open_channels(alerting: Alerting) -> list[Channel]:
    """Everybody to tell who needs no portal. Raises ConfigError for an address that may not be used."""
    mistakes = [Mistake("environment", 0, wrong) for hook in alerting.hooks if (wrong := _unfit(hook))]
    if mistakes:
        raise ConfigError(mistakes)
    hooks = [
        Channel(hook.name, partial(post, hook), "webhook", urlsplit(hook.url).hostname or "") for hook in alerting.hooks
    ]
    mails = [Channel(mail.name, partial(write, mail), "mail", ", ".join(mail.to)) for mail in alerting.mails]
    return [*hooks, *mails]


def post(hook: Hook, message: Message) -> None:
    """Post to a webhook, signed. A redirect is no acceptance. Raises UnsentError."""
    body = message.to_json()
    stamp = str(int(message.at.timestamp()))
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message.id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{sign(hook.secret, message.id, stamp, body)}",
    }
    line = Line()
    try:
        reply = line.post(hook.url, body, headers, BOUNDS)
    except ExchangeError as error:
        raise UnsentError(type(error).__name__) from None
    finally:
        line.close()
    if not 200 <= reply.status < 300:
        raise UnsentError(f"HTTP {reply.status}")


def sign(secret: str, message_id: str, stamp: str, body: bytes) -> str:
    """The signature of Standard Webhooks, v1: HMAC-SHA256 over id, time and body, in base64.

    secret: after `whsec_` it is base64, as the specification has it; any other text is taken as it is.
    """
    encoded = secret.removeprefix("whsec_")
    key = base64.b64decode(encoded, validate=True) if encoded != secret else secret.encode()
    signed = f"{message_id}.{stamp}.".encode() + body
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def write(mail: Mail, message: Message) -> None:
    """Send an e-mail. Raises UnsentError."""
    letter = EmailMessage()
    letter["Subject"], letter["From"], letter["To"] = message.subject, mail.sender, ", ".join(mail.to)
    letter["Date"] = format_datetime(message.at)
    letter["Message-ID"] = f"<{message.id}@{mail.sender.rpartition('@')[2]}>"
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(message.text + "\n")
    try:
        with DEADLINES.within(TIMEOUT_S) as deadline, _connect(mail, deadline) as server:
            if mail.user and mail.password:
                server.login(mail.user, mail.password)
            server.send_message(letter)
    except (OSError, smtplib.SMTPException, UnicodeError) as error:  # smtplib takes passwords of ASCII only
        raise UnsentError(type(error).__name__) from None


def _for_chat(text: str) -> str:
    """What is too long for a message of a chat says that it was cut."""
    return text if len(text) <= LONGEST_CHAT else text[: LONGEST_CHAT - len(CUT)] + CUT


def say(chat: Chat, line: PacedClient, message: Message) -> None:
    """Write into a chat, in the portal's pace. Raises UnsentError, RecordUnavailableError.

    Bitrix24 knows no id for a message that is sent again, so where an answer was lost it may stand there twice.
    """
    line.wait()
    parameters = {"DIALOG_ID": chat.dialog_id, "MESSAGE": _for_chat(message.text), "URL_PREVIEW": "N"}
    answer = line.call(CHAT_METHOD, parameters)
    if answer.fault or answer.code is not None or not answer.result:
        raise UnsentError(str(answer.fault or answer.code or f"HTTP {answer.status}"))


def _wire(key: str, text: str) -> dict[str, str]:
    kind, _, subject = key.partition(":")
    return {"kind": kind, "subject": subject, "text": text}


def _connect(mail: Mail, deadline: Deadline) -> smtplib.SMTP:
    server = _MailLine(mail, deadline)
    if mail.security == "starttls":
        server.starttls(context=ssl.create_default_context())
    return server


class _MailLine(smtplib.SMTP):
    """A connection to a mail server that ends when its time is over."""

    twin: socket.socket | None = None

    def __init__(self, mail: Mail, deadline: Deadline) -> None:
        self._deadline = deadline
        self._context = ssl.create_default_context() if mail.security == "tls" else None
        try:
            super().__init__(mail.host, mail.port, timeout=TIMEOUT_S)
        except BaseException:
            self.close()
            raise

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        """Called by smtplib to connect."""
        connected: socket.socket = super()._get_socket(host, port, timeout)  # type: ignore[misc] # not in its stubs
        self.twin = connected.dup()  # TLS takes the first handle
        self._deadline.watch(self.twin)
        return connected if self._context is None else self._context.wrap_socket(connected, server_hostname=host)

    def close(self) -> None:
        super().close()
        if self.twin:
            self.twin.close()


def _unfit(hook: Hook) -> Fault | None:
    """What is wrong with the address or the secret; their values are not in it."""
    parts = urlsplit(hook.url)
    if not parts.hostname or parts.scheme not in {"http", "https"}:
        return fault("hook_no_address", name=hook.name)
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        return fault("hook_plain_http", name=hook.name)
    try:
        sign(hook.secret, "", "", b"")
    except ValueError:
        return fault("hook_secret_no_base64", name=hook.name)
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
