"""The portals of config/portals.yaml, with their pace. This module holds no credential and opens no connection.

The web process needs the names of portals; a worker needs to know how fast it may call.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

from marshmallow import ValidationError, validates_schema

from relay.configuration import json_schema as js
from relay.configuration.fields import (
    NAME,
    SECONDS,
    Choice,
    Flag,
    Number,
    Quantity,
    StrictSchema,
    Table,
    Text,
    Wanted,
)
from relay.configuration.files import ConfigFile, Mistakes, collecting, read_yaml
from relay.core.events import SETTLE_S
from relay.core.faults import fault
from relay.core.plan import FIRST_DYNAMIC

PLANS: dict[str, tuple[float | None, int]] = {
    "standard": (2.0, 40),
    "enterprise": (5.0, 200),
    "self_hosted": (None, 1),
}
"""Requests a second and burst by plan; None: as fast as the portal answers.

Bitrix24's page "Limits" (b24restdocs, limits.md) gives 2/s with a bucket of 50, and 5/s with 250 for Enterprise. The
bucket is counted per portal and address, and other integrations may share the address: ours is a fifth less deep.
"""


OF_APPLICATION = ("expect", "card", "menu")
"""Keys that mean nothing without `application`."""
CARDS = ("lead", "deal", "contact", "company", "quote", "invoice")
"""Kinds of documents with a card, beside `dynamic:N`, the smart process with the entityTypeId N."""
_KIND = re.compile(rf"{'|'.join(CARDS)}|dynamic:(12[89]|1[3-9][0-9]|[2-9][0-9]{{2}}|[1-9][0-9]{{3,6}})")


class OwnIds(StrEnum):
    """Whether a start carries a workflow id made by the relay."""

    ECHO = "echo"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Portal:
    """One portal.

    rate_per_s: requests a second that drain from the bucket; None: no limit. burst: requests that may go at once.
    own_id: "echo" sends our id as `PreGeneratedWorkflowId` and trusts it only if the answer repeats it; "off" sends
    none. batch: the most calls in one request (1: never batch).
    settle_after_s: how long, in seconds, an uncertain call may still be running on the portal.
    application: the client_id of a local application on the portal; empty: there is none. Its secret is in the workers'
    environment. expect: the portal's host, with its port if it is unusual; a first installation on another one waits
    for an operator. card: the kinds of documents whose card has our tab; menu: whether the left menu has our page.
    """

    name: str
    plan: str
    rate_per_s: float | None
    burst: int
    own_id: OwnIds
    batch: int
    settle_after_s: float
    application: str = ""
    expect: str = ""
    card: tuple[str, ...] = ()
    menu: bool = False

    @property
    def variable_prefix(self) -> str:
        """The prefix of the environment variables of its credential."""
        return variable_prefix(self.name)


class _Kinds(Wanted):
    """A list of kinds of documents, each once."""

    expected = fault("expected_card", names=list(CARDS), least=FIRST_DYNAMIC)

    def read(self, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(kind, str) and _KIND.fullmatch(kind) for kind in value):
            raise ValueError
        return tuple(dict.fromkeys(value))

    def form(self) -> js.JsonSchema:
        return {"type": "array", "items": js.text(_KIND.pattern)}


class _PortalSchema(StrictSchema):
    plan = Choice(*PLANS, required=True)
    rate = Number(0.1, 1000, fraction=True, load_default=None)
    burst = Number(1, 10_000, load_default=None)
    # Off unless asked for: the field is not documented by Bitrix24 and may vanish with any update.
    own_id = Choice(*OwnIds, load_default=OwnIds.OFF)
    # The page "Batch" (b24restdocs, settings/how-to-call-rest-api/batch.md): at most 50 commands.
    batch = Number(1, 50, load_default=50)
    # The cloud cuts a request at 60 s (limits.md).
    settle_after = Quantity(SECONDS, "24h", load_default=SETTLE_S)
    application = Text(fault("expected_application"), r"local\.[0-9a-z]{1,64}(\.[0-9]{1,20})?", load_default="")
    expect = Text(fault("expected_host"), r"[a-z0-9.-]{1,253}(:[0-9]{1,5})?", load_default="")
    card = _Kinds(load_default=())
    menu = Flag(load_default=False)

    together: ClassVar[js.JsonSchema] = {"dependencies": {name: ["application"] for name in OF_APPLICATION}}

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _belongs_to_an_application(self, _spec: dict[str, Any], written: Any, **_: Any) -> None:
        if not isinstance(written, dict) or "application" in written or self.may_be_misspelled(written, "application"):
            return
        if lonely := [name for name in OF_APPLICATION if name in written]:
            raise ValidationError({name: [fault("needs_application")] for name in lonely})


class PortalsSchema(StrictSchema):
    """The whole file."""

    portals = Table(_PortalSchema())


def load_portals(path: Path, mistakes: Mistakes | None = None) -> dict[str, Portal]:
    """The portals of this file by name. After a mistake, each portal is still returned, without the wrong keys.

    So its credential can be checked in the same round. mistakes: a collector; without one, ConfigError is raised with
    every mistake.
    """
    with collecting(mistakes) as found:
        config = read_yaml(path, found)
        if config is None:
            return {}
        entries = config.check(PortalsSchema()).get("portals", {})
        _check_variables(config, entries)
        _check_applications(config, entries)
        return {name: _portal(name, entry) for name, entry in entries.items() if NAME.fullmatch(name)}


def variable_prefix(name: str) -> str:
    """The prefix of the environment variables of a portal's credential: `PORTAL_MAIN_`."""
    return f"PORTAL_{name.replace('-', '_').upper()}_"


def _portal(name: str, right: dict[str, Any]) -> Portal:
    entry = {**_PortalSchema().load({"plan": "standard"}), **right}
    rate_per_s, burst = PLANS[entry["plan"]]
    return Portal(
        name=name,
        plan=entry["plan"],
        rate_per_s=rate_per_s if entry["rate"] is None else float(entry["rate"]),
        burst=entry["burst"] or burst,
        own_id=OwnIds(entry["own_id"]),
        batch=entry["batch"],
        settle_after_s=entry["settle_after"],
        application=entry["application"],
        expect=entry["expect"],
        card=entry["card"],
        menu=entry["menu"],
    )


def _check_variables(config: ConfigFile, names: Iterable[str]) -> None:
    owners: dict[str, str] = {}
    for name in names:
        prefix = variable_prefix(name)
        owner = owners.setdefault(prefix, name)
        if owner != name:
            wrong = fault("shared_variables", prefix=prefix, owner=repr(owner))
            config.add_mistake(("portals", name), wrong)


def _check_applications(config: ConfigFile, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """One application is of one portal: two entries would each refresh its tokens, and end those of the other."""
    owners: dict[str, str] = {}
    for name, entry in entries.items():
        application = entry.get("application")
        owner = owners.setdefault(application, name) if application else name
        if owner != name:
            config.add_mistake(("portals", name, "application"), fault("application_twice", owner=repr(owner)))
