"""Sends a message by signed webhook, e-mail, or a chat or notifications of Bitrix24.

Raises UnsentError; the caller tries again later. A repeated message has the same id, so that a receiver can tell; a
chat has no ids. A message names portals, sources and counts, and nobody's data.
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

from relay.configuration.alerts import ALERT, Alerting, Chat, Hook, Mail
from relay.core.errors import ConfigError, Mistake, RelayError
from relay.core.faults import Fault, fault
from relay.core.ids import iso
from relay.store.operators.alerts import AlertState
from workers.http.exchange import DEADLINES, Bounds, Connection, Deadline, ExchangeError
from workers.portal.client import PacedClient

TIMEOUT_S = 10.0
"""Time for one exchange with a receiver or mail server. Only the status of its answer counts."""
BOUNDS = Bounds(connect_s=TIMEOUT_S, read_s=TIMEOUT_S, whole_s=TIMEOUT_S, most=64_000)
CHAT_METHOD, NOTIFY_METHOD = "im.message.add", "im.notify.system.add"
CLIENT_ID = "relay"
LONGEST_CHAT = 10_000
CUT = "\n… and more: see the dashboard"


class UnsentError(RelayError):
    """The channel did not take the message. The text holds no address and no secret."""


@dataclass(frozen=True, slots=True)
class News:
    """The news for a channel: texts by the trouble's key. told: its alert state once the news is sent."""

    new: Mapping[str, str]
    still: Mapping[str, str]
    resolved: Mapping[str, str]
    told: Mapping[str, AlertState]

    def __bool__(self) -> bool:
        return bool(self.new or self.still or self.resolved)


@dataclass(frozen=True, slots=True)
class Message:
    """One message. id: the same for the same news. link: the dashboard's address, None where it is not configured.

    is_test: somebody requested it, and nothing is wrong.
    """

    id: str
    at: datetime
    news: News
    link: str | None = None
    is_test: bool = False

    @property
    def subject(self) -> str:
        """The counts, in a line."""
        if self.is_test:
            return "relay: a test"
        parts = ((self.news.new, "new"), (self.news.still, "still there"), (self.news.resolved, "resolved"))
        return "relay: " + ", ".join(f"{len(some)} {word}" for some, word in parts if some)

    @property
    def lines(self) -> list[tuple[str, str]]:
        """The key of each trouble, and its line."""
        new = "TEST" if self.is_test else "NEW"
        parts = ((self.news.new, new), (self.news.still, "STILL"), (self.news.resolved, "RESOLVED"))
        return [(key, f"{word}: {text}") for some, word in parts for key, text in some.items()]

    @property
    def text(self) -> str:
        """A line for each trouble, and the link."""
        return "\n".join([*(line for _, line in self.lines), *([self.link] if self.link else [])])

    def to_json(self) -> bytes:
        """The JSON of Standard Webhooks: type, timestamp, data. `text` is for chats that show nothing else."""
        groups = {"new": self.news.new, "still": self.news.still, "resolved": self.news.resolved}
        troubles = {name: [_wire(key, text) for key, text in some.items()] for name, some in groups.items()}
        content = {"type": "relay.alert", "timestamp": iso(self.at), "text": self.text, "data": troubles}
        return json.dumps(content, ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Channel:
    """A receiver of messages. kind: webhook, mail or chat. where: its address for the pages, without a secret.

    wants_alerts: False for a webhook that is told of deliveries only.
    """

    name: str
    send: Callable[[Message], None]
    kind: str = ""
    where: str = ""
    wants_alerts: bool = True


def open_chats(alerting: Alerting, clients: Mapping[str, PacedClient]) -> list[Channel]:
    """The chats of these portals. The host that serves another portal opens the chats there."""
    chats = [chat for chat in alerting.chats if chat.portal in clients]
    return [
        Channel(chat.name, partial(notify if chat.notify else say, chat, clients[chat.portal]), "chat", _where(chat))
        for chat in chats
    ]


def open_channels(alerting: Alerting) -> list[Channel]:
    """The channels that need no portal. Raises ConfigError for an address that may not be used."""
    mistakes = [Mistake("environment", 0, wrong) for hook in alerting.hooks if (wrong := _unfit(hook))]
    if mistakes:
        raise ConfigError(mistakes)
    hooks = [
        Channel(hook.name, partial(post, hook), "webhook", urlsplit(hook.url).hostname or "", ALERT in hook.events)
        for hook in alerting.hooks
    ]
    mails = [Channel(mail.name, partial(write, mail), "mail", ", ".join(mail.to)) for mail in alerting.mails]
    return [*hooks, *mails]


def post(hook: Hook, message: Message) -> None:
    """Post an alert to a webhook. Raises UnsentError."""
    post_signed(hook, message.id, message.to_json(), message.at)


def post_signed(hook: Hook, message_id: str, body: bytes, now: datetime) -> None:
    """Post to a webhook, signed. A redirect is no acceptance. Raises UnsentError."""
    stamp = str(int(now.timestamp()))
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{sign(hook.secret, message_id, stamp, body)}",
    }
    connection = Connection()
    try:
        reply = connection.post(hook.url, body, headers, BOUNDS)
    except ExchangeError as error:
        raise UnsentError(type(error).__name__) from None
    finally:
        connection.close()
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
    """The text, cut to the longest message of a chat, with a note."""
    return text if len(text) <= LONGEST_CHAT else text[: LONGEST_CHAT - len(CUT)] + CUT


def say(chat: Chat, client: PacedClient, message: Message) -> None:
    """Write into a chat, in the portal's pace. Raises UnsentError, RecordUnavailableError.

    Bitrix24 has no id for a repeated message, so after a lost answer it may stand there twice.
    """
    client.wait()
    parameters = {"DIALOG_ID": chat.dialog_id, "MESSAGE": _for_chat(message.text), "URL_PREVIEW": "N"}
    answer = client.call(CHAT_METHOD, parameters)
    if answer.fault or answer.code is not None or not answer.result:
        raise UnsentError(str(answer.fault or answer.code or f"HTTP {answer.status}"))


def notify(chat: Chat, client: PacedClient, message: Message) -> None:
    """Notify a user of each trouble, in the portal's pace. Raises UnsentError, RecordUnavailableError.

    A notification takes the place of the one before it of the same trouble (docs: im-notify-system-add.md; for an
    inbound webhook, a TAG counts only with a CLIENT_ID). So one that is sent again does not stand there twice.
    """
    for key, line in message.lines:
        client.wait()
        tag = hashlib.sha256(f"{chat.notify}\0{key}".encode()).hexdigest()[:24]
        told = _for_chat("\n".join([line, *([message.link] if message.link else [])]))
        parameters = {"USER_ID": chat.notify, "MESSAGE": told, "TAG": f"RELAY|{tag}", "CLIENT_ID": CLIENT_ID}
        answer = client.call(NOTIFY_METHOD, parameters)
        if answer.result is False:
            raise UnsentError(f"no user {chat.notify}")
        if answer.fault or answer.code is not None or not answer.result:
            raise UnsentError(str(answer.fault or answer.code or f"HTTP {answer.status}"))


def _where(chat: Chat) -> str:
    return f"user {chat.notify} of {chat.portal}" if chat.notify else f"{chat.dialog_id} of {chat.portal}"


def _wire(key: str, text: str) -> dict[str, str]:
    kind, _, subject = key.partition(":")
    return {"kind": kind, "subject": subject, "text": text}


def _connect(mail: Mail, deadline: Deadline) -> smtplib.SMTP:
    server = _MailConnection(mail, deadline)
    if mail.security == "starttls":
        server.starttls(context=ssl.create_default_context())
    return server


class _MailConnection(smtplib.SMTP):
    """A connection to a mail server, with a deadline."""

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
    """The mistake in the address or the secret, without their values; None if there is none."""
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
