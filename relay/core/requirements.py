"""What a rule asks of a portal, without the rule: enough to compare it with the portal's template.

The web process knows the rules, the worker the portal; the first leaves requirements on record, the second reads them.
Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Requirement:
    """One rule's `start`. document: module, entity class, and the id as far as it is fixed, such as `LEAD_`."""

    rule: str
    portal: str
    template_id: int
    document: tuple[str, str, str]
    parameters: tuple[str, ...]

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
        )
