"""config/alerts.yaml, checked: the conditions of alerts, and who gets them. This module sends nothing.

The file is optional; without it, no alerts are sent. Secrets are named by environment variables that begin with ALERT_,
in the workers' environment only. An address to post to is a secret, too, because its path often is one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from marshmallow import ValidationError, fields, validates_schema

from relay.configuration import json_schema as js
from relay.configuration.fields import SECONDS, Choice, Number, Quantity, StrictSchema, Table, Text, suggestion
from relay.configuration.files import ConfigFile, KeyPath, Mistakes, collecting, read_yaml
from relay.configuration.settings import read_named_secret
from relay.core.faults import fault
from relay.core.lifecycle import State

FILE = "alerts.yaml"
ALERT = "relay.alert"
EVENTS = {f"delivery.{state.value}": state for state in (State.DEAD, State.UNCERTAIN, State.STARTED)}
"""Messages beside alerts: a delivery has come to this state."""
RECEIVERS = ("dialog_id", "notify")
PORTS = {"starttls": 587, "tls": 465, "none": 25}


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook to post to, signed as Standard Webhooks says. events: the types of messages that it gets."""

    name: str
    url: str = field(repr=False)
    secret: str = field(repr=False)
    events: tuple[str, ...] = (ALERT,)

    @property
    def states(self) -> frozenset[State]:
        """The states of deliveries that it is told of."""
        return frozenset(EVENTS[name] for name in self.events if name in EVENTS)


@dataclass(frozen=True, slots=True)
class Mail:
    """People to write to. security: starttls, tls or none."""

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
    """A Bitrix24 chat to write into, through a portal. dialog_id: chat12, sg12, or the id of a user.

    notify: the user who gets notifications instead; 0: nobody.
    """

    name: str
    portal: str
    dialog_id: str = ""
    notify: int = 0


@dataclass(frozen=True, slots=True)
class Alerting:
    """The conditions of alerts, their channels, and how often they repeat.

    oldest_waiting: how long the oldest delivery may wait. quiet: deaths are over after this time without one.
    silent_after: how long each named source may be silent.
    """

    repeat: timedelta
    oldest_waiting: timedelta
    quiet: timedelta
    silent_after: Mapping[str, timedelta]
    hooks: tuple[Hook, ...]
    mails: tuple[Mail, ...]
    chats: tuple[Chat, ...] = ()


def _variable(**options: Any) -> Text:
    return Text(fault("expected_alert_variable"), r"ALERT_[A-Z0-9_]{1,60}", **options)


def _address() -> Text:
    return Text(fault("expected_email"), r"[^@\s<>,;]+@[^@\s<>,;]+", required=True)


class _HookSchema(StrictSchema):
    url = _variable(required=True)
    secret = _variable(required=True)
    events = fields.List(Choice(ALERT, *EVENTS), load_default=[ALERT])


class _MailSchema(StrictSchema):
    host = Text(fault("expected_mail_server"), r"[A-Za-z0-9.:-]+", required=True)
    port = Number(1, 65535, load_default=None)
    security = Choice(*PORTS, load_default="starttls")
    user = Text(fault("expected_user_name"), load_default=None)
    password = _variable(load_default=None)
    sender = Text(fault("expected_email"), r"[^@\s<>,;]+@[^@\s<>,;]+", required=True, data_key="from")
    to = fields.List(_address(), required=True)

    together: ClassVar[js.JsonSchema] = {
        "allOf": [
            {"properties": {"to": {"minItems": 1}}},
            js.when(js.given("password"), {"not": js.has("security", ["none"])}),
        ]
    }


class _ChatSchema(StrictSchema):
    portal = Text(fault("expected_portal_name"), r"[a-z][a-z0-9_-]*", required=True)
    dialog_id = Text(fault("expected_chat"), r"(chat|sg)?[1-9][0-9]{0,14}", load_default="")
    notify = Number(1, 10**15 - 1, load_default=0)

    together: ClassVar[js.JsonSchema] = {"oneOf": [{"required": [name]} for name in RECEIVERS]}

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _has_one_receiver(self, entry: dict[str, Any], written: Any, **_: Any) -> None:
        if self.has_read(entry, written) and len(written.keys() & RECEIVERS) != 1:
            raise ValidationError(fault("expected_receiver"))


class _SourceSchema(StrictSchema):
    silent_after = Quantity(SECONDS, "90d", required=True)


class AlertsSchema(StrictSchema):
    """The whole file."""

    repeat = Quantity(SECONDS, "30d", load_default=14_400.0)
    oldest_waiting = Quantity(SECONDS, "30d", load_default=900.0)
    quiet = Quantity(SECONDS, "30d", load_default=3_600.0)
    sources = Table(_SourceSchema(), required=False)
    webhooks = Table(_HookSchema(), required=False)
    mail = Table(_MailSchema(), required=False)
    bitrix24 = Table(_ChatSchema(), required=False)


def load_alerting(
    folder: Path,
    environ: Mapping[str, str],
    sources: Collection[str] | None = None,
    portals: Collection[str] | None = None,
    mistakes: Mistakes | None = None,
) -> Alerting | None:
    """The content of the folder's alerts.yaml; None if it is missing or has a mistake.

    sources, portals: the known names; None: unknown here. mistakes: a collector; without one, ConfigError is raised
    with every mistake.
    """
    path = folder / FILE
    if not path.exists():
        return None
    with collecting(mistakes) as found:
        config = read_yaml(path, found)
        if config is None:
            return None
        content = config.check(AlertsSchema())
        reader = _Reader(config, environ)
        reader.check(content)
        reader.check_names(content, sources, portals)
        return _alerting(content, reader) if config.is_right else None


def _alerting(content: Mapping[str, Any], reader: _Reader) -> Alerting:
    return Alerting(
        repeat=timedelta(seconds=content["repeat"]),
        oldest_waiting=timedelta(seconds=content["oldest_waiting"]),
        quiet=timedelta(seconds=content["quiet"]),
        silent_after={name: timedelta(seconds=entry["silent_after"]) for name, entry in content["sources"].items()},
        hooks=tuple(reader.hook(name, entry) for name, entry in content["webhooks"].items()),
        mails=tuple(reader.mail(name, entry) for name, entry in content["mail"].items()),
        chats=tuple(Chat(name, **entry) for name, entry in content["bitrix24"].items()),
    )


def load_alerting_thresholds(folder: Path) -> tuple[timedelta, dict[str, timedelta]] | None:
    """How long the oldest delivery may wait, and each named source may be silent; None if there is no file.

    Needs no secret. Raises ConfigError.
    """
    if not (folder / FILE).exists():
        return None
    with collecting(None) as found:
        config = read_yaml(folder / FILE, found)
        content = config.check(AlertsSchema()) if config else {}
    silent = {name: timedelta(seconds=entry["silent_after"]) for name, entry in content["sources"].items()}
    return timedelta(seconds=content["oldest_waiting"]), silent


class _Reader:
    """Reads secrets, and checks what the schema cannot. If the content has mistakes, any key may be missing."""

    def __init__(self, config: ConfigFile, environ: Mapping[str, str]) -> None:
        self.config = config
        self.environ = environ
        self._secrets: dict[str, str] = {}

    def check(self, content: Mapping[str, Any]) -> None:
        """Note the mistakes of each channel."""
        for name, entry in content.get("webhooks", {}).items():
            for key in ("url", "secret"):
                self._fetch(("webhooks", name, key), entry.get(key))
            if entry.get("events") == []:
                self.config.add_mistake(("webhooks", name, "events"), fault("expected_choice", names=[ALERT, *EVENTS]))
        for name, entry in content.get("mail", {}).items():
            self._fetch(("mail", name, "password"), entry.get("password"))
            if entry.get("password") and entry.get("security") == "none":
                wrong = fault("password_in_the_open")
                self.config.add_mistake(("mail", name, "security"), wrong)
            if entry.get("to") == []:
                self.config.add_mistake(("mail", name, "to"), fault("expected_addressee"))

    def check_names(
        self, content: Mapping[str, Any], sources: Collection[str] | None, portals: Collection[str] | None
    ) -> None:
        """Note names that two channels share, and unknown sources and portals."""
        taken: set[str] = set()
        for kind in ("webhooks", "mail", "bitrix24"):
            names = content.get(kind, {}).keys()
            for name in names & taken:
                self.config.add_mistake((kind, name), fault("channel_twice"))
            taken |= names
        for name in content.get("sources", {}):
            if sources is not None and name not in sources:
                self.config.add_mistake(("sources", name), fault("no_such_source", hint=suggestion(name, sources)))
        for name, entry in content.get("bitrix24", {}).items():
            portal = entry.get("portal")
            if portal and portals is not None and portal not in portals:
                self.config.add_mistake(
                    ("bitrix24", name, "portal"), fault("no_such_portal", hint=suggestion(portal, portals))
                )

    def hook(self, name: str, entry: Mapping[str, Any]) -> Hook:
        """A webhook whose entry was checked."""
        return Hook(name, self._secrets[entry["url"]], self._secrets[entry["secret"]], tuple(entry["events"]))

    def mail(self, name: str, entry: Mapping[str, Any]) -> Mail:
        """An addressee whose entry was checked."""
        return Mail(
            name=name,
            host=entry["host"],
            port=entry["port"] or PORTS[entry["security"]],
            security=entry["security"],
            sender=entry["sender"],
            to=tuple(entry["to"]),
            user=entry["user"],
            password=self._secrets[entry["password"]] if entry["password"] else None,
        )

    def _fetch(self, place: KeyPath, name: str | None) -> None:
        """Read a secret. Without a name, none was configured, or its name was wrong."""
        if name is not None:
            missing = fault("variable_missing", name=name)
            self._secrets[name] = read_named_secret(self.config, place, self.environ, name, missing) or ""
