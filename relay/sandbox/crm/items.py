"""The CRM items that there are, and which of them have a phone or an e-mail.

May not check anything: what comes here is stored. What nobody has made or seeded is not here, although a workflow
can be started on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from relay.sandbox.crm.multifields import MultiField
from relay.sandbox.crm.phones import code_of
from relay.sandbox.crm.types import EntityType
from relay.sandbox.workflows import utc_time

FIRST_ID = 1001
"""Made items are numbered from here, so that they are told from documents that have always been there."""


@dataclass(slots=True, eq=False)
class Item:
    """One item; equal to itself only.

    values: by field name, in the form in which they are shown. given: the fields as the caller gave them.
    created_at: seconds since 1970. method: the REST method that made it; None for what was there, or what the portal
        has made by itself.
    """

    entity: EntityType
    id: int
    values: dict[str, object]
    multifields: tuple[MultiField, ...]
    given: Mapping[str, object]
    created_at: float
    created_by: int
    method: str | None

    @property
    def own_id(self) -> tuple[object, ...] | None:
        """What an outside system has written to know it again; None without."""
        names = ("xmlId",) if "xmlId" in self.values else ("originatorId", "originId")
        own = tuple(self.values.get(name) for name in names)
        return (self.entity.id, *own) if own[-1] else None


@dataclass(slots=True)
class Items:
    """All of them.

    made: those that calls have made, oldest first. seeded: the others.
    """

    made: list[Item] = field(default_factory=list)
    seeded: list[Item] = field(default_factory=list)
    _times_made: Counter[tuple[object, ...]] = field(default_factory=Counter)
    _by_type: dict[int, dict[int, Item]] = field(default_factory=dict)
    _by_code: dict[tuple[str, str], list[Item]] = field(default_factory=dict)

    def next_id(self, entity: EntityType, missing: Collection[int]) -> int:
        """A number for a new item; never one of those that are said not to exist."""
        taken = self._by_type.get(entity.id, {})
        number = max(FIRST_ID, *(each + 1 for each in taken)) if taken else FIRST_ID
        while number in missing:
            number += 1
        return number

    def add(self, item: Item) -> None:
        """Store an item; a seeded one of the same type and number is replaced."""
        self._forget(self.find(item.entity, item.id))
        self._by_type.setdefault(item.entity.id, {})[item.id] = item
        for code in {(each.type_id, code_of(each.type_id, each.value)) for each in item.multifields}:
            self._by_code.setdefault(code, []).append(item)
        (self.seeded if item.method is None else self.made).append(item)
        if item.method is not None and item.own_id is not None:
            self._times_made[item.own_id] += 1

    def find(self, entity: EntityType, number: int) -> Item | None:
        """The item of this type and number."""
        return self._by_type.get(entity.id, {}).get(number)

    def of_type(self, entity: EntityType) -> list[Item]:
        """All items of a type, by number."""
        return [item for _, item in sorted(self._by_type.get(entity.id, {}).items())]

    def reached_by(self, kind: str, value: str) -> list[Item]:
        """The items with this PHONE or EMAIL, in whatever form either is written."""
        return list(self._by_code.get((kind, code_of(kind, value)), ()))

    def times_made_of(self, item: Item) -> int:
        """How many items with its own id calls have made: more than one is a mistake of the caller's."""
        return self._times_made[item.own_id] if item.own_id else 1

    def to_json(self) -> list[dict[str, object]]:
        """What calls have made, newest first, as GET /sandbox/documents shows it."""
        return [
            {
                "entityTypeId": item.entity.id,
                "id": item.id,
                "fields": dict(item.given),
                "created_at": utc_time(item.created_at),
                "created_by": item.created_by,
                "method": item.method,
                "times_made": self.times_made_of(item),
            }
            for item in reversed(self.made)
        ]

    def _forget(self, replaced: Item | None) -> None:
        if replaced is None:
            return
        self.seeded = [item for item in self.seeded if item is not replaced]
        for items in self._by_code.values():
            items[:] = [item for item in items if item is not replaced]
