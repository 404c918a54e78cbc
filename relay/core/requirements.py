"""What a rule asks of a portal, without the rule: enough to compare it with what the portal says of itself.

The web process knows the rules, the worker the portal; the first leaves requirements on record, the second reads them.
Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from relay.core.entities import USER
from relay.core.plan import StepKind


@dataclass(frozen=True, slots=True)
class StepRequirement:
    """One step: which fields of which kind it looks for or writes. own_field: of a quote, for the relay's id."""

    name: str
    kind: StepKind
    entity: str
    type_id: int | None
    fields: tuple[str, ...]
    own_field: str = ""

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> StepRequirement:
        return cls(**(dict(wire) | {"kind": StepKind(wire["kind"]), "fields": tuple(wire["fields"])}))


@dataclass(frozen=True, slots=True)
class Requirement:
    """One rule's `start` and the steps before it.

    template_id: 0 where no workflow is started. document: module, entity class, and the id as far as it is fixed, such
    as `LEAD_`.
    """

    rule: str
    portal: str
    template_id: int
    document: tuple[str, str, str]
    parameters: tuple[str, ...]
    steps: tuple[StepRequirement, ...] = ()

    @property
    def scopes(self) -> tuple[tuple[str, ...], ...]:
        """What the credential must have: of each entry any one (b24restdocs, api-reference/scopes/permissions.md).

        `user_brief` would answer `user.get` too, but without what people are looked for by.
        """
        by_user = [step.entity == USER for step in self.steps]
        needed = {
            ("bizproc",): self.template_id != 0,
            ("crm",): not all(by_user),
            ("user_basic", "user"): any(by_user),
        }
        return tuple(scope for scope, is_needed in needed.items() if is_needed)

    def to_wire(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Requirement:
        module, entity, fixed = wire["document"]
        return cls(
            rule=wire["rule"],
            portal=wire["portal"],
            template_id=wire["template_id"],
            document=(module, entity, fixed),
            parameters=tuple(wire["parameters"]),
            # What an earlier version has left knows none.
            steps=tuple(StepRequirement.from_wire(step) for step in wire.get("steps", ())),
        )
