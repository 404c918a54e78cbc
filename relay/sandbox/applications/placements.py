"""The places of the portal that an application can bind: tabs of cards, and the left menu.

Facts: api-reference/widgets/placements.md, crm/detail-tab.md, left-menu.md. A real portal has many more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from relay.sandbox.crm.fields import SYSTEM_TYPES, EntityType, find_type
from relay.sandbox.settings import Settings

DEFAULT = "DEFAULT"
"""The application's own page. Nobody binds it: its handler is the application's."""
LEFT_MENU = "LEFT_MENU"


@dataclass(frozen=True, slots=True)
class Place:
    """A place. scope: needed beside `placement`, "" for nothing. entity: of the card that has the tab."""

    code: str
    scope: str = ""
    entity: EntityType | None = None


def tab_of(entity: EntityType) -> str:
    """The code of the tab in the cards of a type, such as CRM_DYNAMIC_147_DETAIL_TAB."""
    return f"CRM_{entity.name}_DETAIL_TAB"


def places_of(settings: Settings) -> Mapping[str, Place]:
    """Every place that can be bound, by its code."""
    entities = [*SYSTEM_TYPES.values(), *(find_type(number, settings) for number in settings.smart_processes)]
    tabs = {tab_of(entity): Place(tab_of(entity), "crm", entity) for entity in entities}
    return {**tabs, LEFT_MENU: Place(LEFT_MENU)}
