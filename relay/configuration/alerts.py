"""Who is told when something is wrong, and when that is: config/alerts.yaml, checked. It sends nothing.

The file is optional: without it nobody is told. Secrets are names of environment variables that begin with ALERT_, for
the worker's environment only; an address to post to is one too, because its path often is a secret.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from marshmallow import fields

from relay.configuration.files import (
    SECONDS,
    Choice,
    ConfigFile,
    Number,
    Quantity,
    StrictSchema,
    Table,
    Text,
    read_yaml,
)
from relay.configuration.files import suggestion as suggest
from relay.configuration.settings import read_secret
from relay.core.errors import ConfigError, Mistake

FILE = "alerts.yaml"
PORTS = {"starttls": 587, "tls": 465, "none": 25}


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook to post to, signed as Standard Webhooks says."""

    name: str
    url: str = field(repr=False)
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Mail:
    """Persons to write to. security: starttls, tls or none."""

    name: str
    host: str
    port: int
    security: str
    sender: str
    to: tuple[str, ...]
    user: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat of Bitrix24 to write into, over the line of a portal. dialog_id: chat12, sg12, or the id of a user."""

    name: str
    portal: str
    dialog_id: str


@dataclass(frozen=True, slots=True)
class Alerting:
    """What is worth telling, to whom, and how often.

    oldest_waiting: how long the first in line may wait. quiet: deaths are over when none was for so long.
    silent_after: by source, how long it may say nothing.
    """

    repeat: timedelta
    oldest_waiting: timedelta
    quiet: timedelta
    silent_after: Mapping[str, timedelta]
    hooks: tuple[Hook, ...]
    mails: tuple[Mail, ...]
    chats: tuple[Chat, ...] = ()


class _OptionalTable(Table):
    def __init__(self, schema: StrictSchema) -> None:
        super().__init__(schema)
        self.required, self.load_default = False, dict


def _variable(**options: Any) -> Text:
    return Text("the name of an environment variable that begins with ALERT_", r"ALERT_[A-Z0-9_]{1,60}", **options)


def _address() -> Text:
    return Text("an e-mail address", r"[^@\s<>,;]+@[^@\s<>,;]+", required=True)


class _HookSchema(StrictSchema):
    url = _variable(required=True)
    secret = _variable(required=True)


class _MailSchema(StrictSchema):
    host = Text("the name of a mail server", r"[A-Za-z0-9.:-]+", required=True)
    port = Number(1, 65535, load_default=None)
    security = Choice(*PORTS, load_default="starttls")
    user = Text("a user name", load_default=None)
    password = _variable(load_default=None)
    sender = Text("an e-mail address", r"[^@\s<>,;]+@[^@\s<>,;]+", required=True, data_key="from")
    to = fields.List(_address(), required=True)


class _ChatSchema(StrictSchema):
    portal = Text("the name of a portal", r"[a-z][a-z0-9_-]*", required=True)
    dialog_id = Text("a chat such as chat12, or a user's id in quotes", r"(chat|sg)?[1-9][0-9]{0,14}", required=True)


class _SourceSchema(StrictSchema):
    silent_after = Quantity(SECONDS, "90d", required=True)


class _AlertsSchema(StrictSchema):
    repeat = Quantity(SECONDS, "30d", load_default=14_400.0)
    oldest_waiting = Quantity(SECONDS, "30d", load_default=900.0)
    quiet = Quantity(SECONDS, "30d", load_default=3_600.0)
    sources = _OptionalTable(_SourceSchema())
    webhooks = _OptionalTable(_HookSchema())
    mail = _OptionalTable(_MailSchema())
    bitrix24 = _OptionalTable(_ChatSchema())


def load_alerting(
    folder: Path,
    environ: Mapping[str, str],
    sources: Collection[str] | None = None,
    portals: Collection[str] | None = None,
) -> Alerting | None:
    """What the folder's alerts.yaml says; None where there is none. Raises ConfigError with every mistake found.

    sources, portals: the names of those that there are; None: not known here.
    """
    path = folder / FILE
    if not path.exists():
        return None
    config = read_yaml(path)
    content = config.check(_AlertsSchema())
    reader = _Reader(config, environ)
    hooks = tuple(reader.hook(name, entry) for name, entry in content["webhooks"].items())
    mails = tuple(reader.mail(name, entry) for name, entry in content["mail"].items())
    reader.check_names(content, sources, portals)
    if reader.mistakes:
        raise ConfigError(reader.mistakes)
    return Alerting(
        repeat=timedelta(seconds=content["repeat"]),
        oldest_waiting=timedelta(seconds=content["oldest_waiting"]),
        quiet=timedelta(seconds=content["quiet"]),
        silent_after={name: timedelta(seconds=entry["silent_after"]) for name, entry in content["sources"].items()},
        hooks=hooks,
        mails=mails,
        chats=tuple(Chat(name, **entry) for name, entry in content["bitrix24"].items()),
    )


def load_alerting_thresholds(folder: Path) -> tuple[timedelta, dict[str, timedelta]]:
    """How long the first in line may wait, and how long each named source may say nothing; needs no secret.

    Raises ConfigError.
    """
    content = read_yaml(folder / FILE).check(_AlertsSchema())
    silent = {name: timedelta(seconds=entry["silent_after"]) for name, entry in content["sources"].items()}
    return timedelta(seconds=content["oldest_waiting"]), silent


class _Reader:
    """Fetches secrets, and remembers what was wrong."""

    def __init__(self, config: ConfigFile, environ: Mapping[str, str]) -> None:
        self.config = config
        self.environ = environ
        self.mistakes: list[Mistake] = []

    def secret(self, place: tuple[str, ...], name: str) -> str:
        try:
            value = read_secret(self.environ, name)
        except ConfigError as error:
            self.mistakes.extend(error.mistakes)
            return ""
        if value is None:
            self.mistakes.append(self.config.mistake(place, f"the environment has no {name} (or {name}_FILE)"))
        return value or ""

    def hook(self, name: str, entry: Mapping[str, str]) -> Hook:
        url, secret = (self.secret(("webhooks", name, key), entry[key]) for key in ("url", "secret"))
        return Hook(name, url, secret)

    def mail(self, name: str, entry: dict[str, Any]) -> Mail:
        password = entry["password"] and self.secret(("mail", name, "password"), entry["password"])
        if password and entry["security"] == "none":
            wrong = "a password would go over the wire as it is: expected starttls or tls"
            self.mistakes.append(self.config.mistake(("mail", name, "security"), wrong))
        if not entry["to"]:
            self.mistakes.append(self.config.mistake(("mail", name, "to"), "expected at least one e-mail address"))
        return Mail(
            name=name,
            host=entry["host"],
            port=entry["port"] or PORTS[entry["security"]],
            security=entry["security"],
            sender=entry["sender"],
            to=tuple(entry["to"]),
            user=entry["user"],
            password=password or None,
        )

    def check_names(
        self, content: Mapping[str, Any], sources: Collection[str] | None, portals: Collection[str] | None
    ) -> None:
        taken: set[str] = set()
        for kind in ("webhooks", "mail", "bitrix24"):
            for name in content[kind].keys() & taken:
                self._wrong((kind, name), "another channel has this name: expected another one")
            taken |= content[kind].keys()
        for name in content["sources"]:
            if sources is not None and name not in sources:
                self._wrong(("sources", name), f"no such source{suggest(name, sources)}")
        for name, entry in content["bitrix24"].items():
            if portals is not None and entry["portal"] not in portals:
                self._wrong(("bitrix24", name, "portal"), f"no such portal{suggest(entry['portal'], portals)}")

    def _wrong(self, place: tuple[str, ...], text: str) -> None:
        self.mistakes.append(self.config.mistake(place, text))
