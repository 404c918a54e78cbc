"""Places inside Bitrix24 where an application is shown: their codes, what a frame says of its card, their titles. Pure.

Sources: docs api-reference/widgets/placements.md, widgets/placement-bind.md, widgets/_includes/widget_data.md; the
shapes of PLACEMENT_OPTIONS are those that the vendor's PHP SDK expects (PlacementRequest.php).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from relay.core.plan import DYNAMIC, FORMS, TYPE_IDS, DocumentId

BIND, UNBIND, BOUND = "placement.bind", "placement.unbind", "placement.get"
ITEM = "crm.item.get"
DEFAULT, MENU = "DEFAULT", "LEFT_MENU"
NAMES = {"invoice": "SMART_INVOICE"}
"""Names of kinds of documents in a code, where that is not the kind in capitals."""
_TAB = re.compile(r"CRM_([A-Z_]{1,20}|DYNAMIC_([1-9][0-9]{0,6}))_DETAIL_TAB")
_ID = re.compile(r"[1-9][0-9]{0,17}")
TITLES: Mapping[str, Mapping[str, str]] = {
    "tab": {"en": "What arrived", "ru": "Что пришло"},
    "menu": {"en": "What arrives", "ru": "Что приходит"},
}


@dataclass(frozen=True, slots=True)
class Card:
    """The card of one document. type_id: its entityTypeId."""

    kind: str
    type_id: int
    item_id: int

    @property
    def document(self) -> DocumentId:
        """The document as a workflow names it."""
        module, entity, prefix = FORMS[self.kind]
        middle = f"{self.type_id}_" if self.kind == DYNAMIC else ""
        return module, entity, f"{prefix}{middle}{self.item_id}"


def tab_of(kind: str) -> str:
    """The code of the tab in the cards of a kind: lead, deal, .. or dynamic:N."""
    name, _, number = kind.partition(":")
    return f"CRM_{NAMES.get(name, name.upper())}{f'_{number}' if number else ''}_DETAIL_TAB"


def kind_of(placement: str) -> tuple[str, int] | None:
    """The kind and the entityTypeId of the documents that a tab's code belongs to; None: it is no such code."""
    match = _TAB.fullmatch(placement)
    if match is None:
        return None
    if match[2]:
        return DYNAMIC, int(match[2])
    kind = next((one for one in TYPE_IDS if tab_of(one) == placement), None)
    return (kind, TYPE_IDS[kind]) if kind else None


def item_in(options: Any) -> int | None:
    """The id of the card's document in PLACEMENT_OPTIONS, a JSON text; None where there is none.

    The browser may have changed it, so it proves nothing. It may be absent, `[]` or `undefined`.
    """
    try:
        read = json.loads(options) if isinstance(options, str) else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(read, dict):
        return None
    found = str(read.get("ID") or read.get("ENTITY_ID") or "")
    return int(found) if _ID.fullmatch(found) else None


def wanted_of(card: tuple[str, ...], *, menu: bool) -> dict[str, str]:
    """The codes to be bound, each with its name for people: the kind of its documents, or `menu`."""
    return {tab_of(kind): kind for kind in card} | ({MENU: "menu"} if menu else {})


def bind_parameters(code: str, handler: str) -> dict[str, Any]:
    """The parameters of `placement.bind`."""
    titles = TITLES["menu" if code == MENU else "tab"]
    words = {language: {"TITLE": title} for language, title in titles.items()}
    return {"PLACEMENT": code, "HANDLER": handler, "TITLE": titles["en"], "LANG_ALL": words}


def bound_in(result: Any) -> list[tuple[str, str]] | None:
    """Codes and handlers in the answer of `placement.get`; None where it is no such answer."""
    if not isinstance(result, list) or not all(isinstance(row, dict) for row in result):
        return None
    return [(str(row.get("placement")), str(row.get("handler"))) for row in result]
