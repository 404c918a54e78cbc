"""The portals of config/portals.yaml, with their pace. This module holds no credential and opens no connection.

The web process needs the names of portals; a worker needs to know how fast it may call.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from relay.configuration.fields import NAME, SECONDS, Choice, Number, Quantity, StrictSchema, Table
from relay.configuration.files import ConfigFile, Mistakes, collecting, read_yaml
from relay.core.events import SETTLE_S
from relay.core.faults import fault

PLANS: dict[str, tuple[float | None, int]] = {
    "standard": (2.0, 40),
    "enterprise": (5.0, 200),
    "self_hosted": (None, 1),
}
"""Requests a second and burst by plan; None: as fast as the portal answers.

Bitrix24's page "Limits" (b24restdocs, limits.md) gives 2/s with a bucket of 50, and 5/s with 250 for Enterprise. The
bucket is counted per portal and address, and other integrations may share the address: ours is a fifth less deep.
"""


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
    """

    name: str
    plan: str
    rate_per_s: float | None
    burst: int
    own_id: OwnIds
    batch: int
    settle_after_s: float

    @property
    def variable_prefix(self) -> str:
        """The prefix of the environment variables of its credential."""
        return variable_prefix(self.name)


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
    )


def _check_variables(config: ConfigFile, names: Iterable[str]) -> None:
    owners: dict[str, str] = {}
    for name in names:
        prefix = variable_prefix(name)
        owner = owners.setdefault(prefix, name)
        if owner != name:
            wrong = fault("shared_variables", prefix=prefix, owner=repr(owner))
            config.add_mistake(("portals", name), wrong)
