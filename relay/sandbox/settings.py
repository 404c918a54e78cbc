"""The settings of the pretend portal: their names, units and accepted values.

Immutable: a change makes a new object, so a request sees one consistent set. May not act on anything.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from relay.sandbox.answers import StatusColumn


class UsageError(ValueError):
    """An order to the sandbox itself cannot be used. The text is one sentence that says what was expected."""


Profile = Literal["a", "b"]
ALL_SCOPES = ("bizproc", "crm", "lists", "disk", "user", "im", "placement")
MEMBER_ID = "5a1b5c0d1e0f00000000000000000001"
_RIGHTS = ("all", "own", "none")


@dataclass(frozen=True, slots=True)
class Settings:
    """The behaviour of the portal. Numbers with _s are seconds, with _ms milliseconds, with _h hours.

    profile: generation of the server code, "a" or "b".
    rate, burst: requests a second that drain from a client's bucket (None: no limit), and the bucket's size
        (limits.md: 2 and 50; enterprise plans 5 and 250).
    operating_limit_s: time one method may take in a window (None: no limiter and no `operating` in answers).
    operating_window_s: that window, ten minutes on a real portal.
    operating_add_s: processing time billed to crm.item.add and crm.item.import, without any waiting (crm-item-add.md).
    call_cost_s: processing time billed to every method call, without any waiting.
    latency_ms: delay of each answer.
    cut_after_s: the front end answers 504 when a request takes longer; it is executed nevertheless.
    instances_visible: whether a started workflow stays alive after its first leg; if not, it has ended at once.
    limit_simultaneous: live workflows allowed on one document, 0 for any number.
    missing_documents: numbers of the documents that do not exist.
    scope: what a webhook may use, and an application that was saved without scopes of its own.
    crm_mode: 1 with leads, 2 without: then a new lead becomes a deal at once.
    crm_may_add: whether callers may make CRM items; if not, ACCESS_DENIED.
    crm_reads: CRM items that a caller without administrator's rights may read: "all", "own" (assigned to him), "none".
    crm_reads_of: the same for single users, by their numbers as texts.
    crm_fields: fields beyond the usual, or other rules for usual ones: objects with entityTypeId and name, and type,
        isMultiple or isRequired where they are not string, false and false.
    smart_processes: the entityTypeIds of the smart processes that there are.
    smart_items_allowed: whether the plan allows new items of smart processes; if not, CREATE_DYNAMIC_ITEM_RESTRICTED.
    bizproc_available: whether the plan has business processes; if not, its methods are "not found".
    statuses: HTTP statuses as in the "source" or as in the "docs".
    language: "en" or "ru", of the texts that the portal localises.
    utc_offset_h: the server's time zone, for the times it writes.
    filter_shift_s: added to the dates in a filter, as a caller's time zone does.
    token_lifetime_s: of an access token.
    rotate_refresh_tokens: whether a refresh token dies when it is used; refresh_grace_s: so long after it.
    member_id: 32 hexadecimal digits, what the portal is known by whatever its address.
    domain: the portal's host and port since it was renamed, "" for the address it listens on. Calls to any other host
        are redirected there.
    administrators, dismissed: users who are administrators, and users who may no longer log in.
    users_without_access: users outside the access list of every application; administrators always have access.
    rest_available: whether the plan has REST; if not, ACCESS_DENIED, and PAYMENT_REQUIRED for a refresh.
    oauth_available: whether the authorisation server works; if not, it answers 502, and the portal CONNECTION_ERROR.
    features: the codes for which feature.get says Y.
    frame_without: fields that are left out of the form posted into a frame, as older portals leave out
        APPLICATION_TOKEN and APPLICATION_SCOPE.
    """

    profile: Profile = "a"
    rate: float | None = 2.0
    burst: int = 50
    operating_limit_s: float | None = 480.0
    operating_window_s: float = 600.0
    operating_add_s: float = 1.8
    call_cost_s: float = 0.0
    latency_ms: float = 0.0
    cut_after_s: float = 60.0
    instances_visible: bool = True
    limit_simultaneous: int = 0
    missing_documents: tuple[int, ...] = (404,)
    scope: tuple[str, ...] = ALL_SCOPES
    crm_mode: int = 1
    crm_may_add: bool = True
    crm_reads: str = "all"
    crm_reads_of: Mapping[str, str] = field(default_factory=lambda: {"3": "own"})
    crm_fields: tuple[Mapping[str, object], ...] = ()
    smart_processes: tuple[int, ...] = (147,)
    smart_items_allowed: bool = True
    bizproc_available: bool = True
    statuses: StatusColumn = "source"
    language: str = "en"
    utc_offset_h: int = 3
    filter_shift_s: float = 0.0
    token_lifetime_s: float = 3600.0
    rotate_refresh_tokens: bool = True
    refresh_grace_s: float = 0.0
    member_id: str = MEMBER_ID
    domain: str = ""
    administrators: tuple[int, ...] = (1, 5)
    dismissed: tuple[int, ...] = ()
    users_without_access: tuple[int, ...] = (4,)
    rest_available: bool = True
    oauth_available: bool = True
    features: tuple[str, ...] = ()
    frame_without: tuple[str, ...] = ()

    def changed(self, changes: Mapping[str, object]) -> Settings:
        """A copy with these values. Raises UsageError with one sentence for an unknown name or an unusable value."""
        values = {name: _checked(name, value) for name, value in changes.items()}
        return dataclasses.replace(self, **values)  # type: ignore[arg-type] # each value was checked by its name

    def to_json(self) -> dict[str, object]:
        """The values by name."""
        return dataclasses.asdict(self)


def _checked(name: str, value: object) -> object:
    if name not in _CHECKS:
        raise UsageError(f"unknown setting {name!r}; known are {', '.join(_CHECKS)}")
    accepts, expected = _CHECKS[name]
    if not accepts(value):
        raise UsageError(f"setting {name!r} must be {expected}")
    return tuple(value) if isinstance(value, list) else value


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -1e9 < value < 1e9


def _is_amount(value: object) -> bool:
    return _is_number(value) and isinstance(value, (int, float)) and value >= 0


def _is_whole(value: object) -> bool:
    return _is_amount(value) and isinstance(value, int)


def _is_list_of(kind: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, (list, tuple)) and all(type(item) is kind for item in value)


def _is_field(value: object) -> bool:
    """Whether it can be one of crm_fields."""
    if not isinstance(value, Mapping) or not {"entityTypeId", "name"} <= set(value) <= set(_FIELD_KINDS):
        return False
    return all(type(member) is _FIELD_KINDS[name] for name, member in value.items())


_FIELD_KINDS: Mapping[str, type] = {
    "entityTypeId": int, "name": str, "type": str, "isMultiple": bool, "isRequired": bool,
}  # fmt: skip
_AMOUNT = (_is_amount, "a number of 0 or more")
_AMOUNT_OR_NULL = (lambda value: value is None or _is_amount(value), "a number of 0 or more, or null for no limit")
_FLAG = (lambda value: isinstance(value, bool), "true or false")

_CHECKS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "profile": (lambda value: value in ("a", "b"), '"a" or "b"'),
    "rate": _AMOUNT_OR_NULL,
    "burst": (_is_whole, "a whole number of 0 or more"),
    "operating_limit_s": _AMOUNT_OR_NULL,
    "operating_window_s": (lambda value: _is_amount(value) and value != 0, "a number above 0"),
    "operating_add_s": _AMOUNT,
    "call_cost_s": _AMOUNT,
    "latency_ms": _AMOUNT,
    "cut_after_s": _AMOUNT,
    "instances_visible": _FLAG,
    "limit_simultaneous": (_is_whole, "a whole number of 0 or more"),
    "missing_documents": (_is_list_of(int), "a list of whole numbers"),
    "scope": (_is_list_of(str), "a list of scope names"),
    "crm_mode": (lambda value: type(value) is int and value in (1, 2), "1 or 2"),
    "crm_may_add": _FLAG,
    "crm_reads": (lambda value: value in _RIGHTS, '"all", "own" or "none"'),
    "crm_reads_of": (
        lambda value: isinstance(value, Mapping) and all(right in _RIGHTS for right in value.values()),
        'an object of user numbers, each with "all", "own" or "none"',
    ),
    "crm_fields": (
        lambda value: isinstance(value, (list, tuple)) and all(_is_field(item) for item in value),
        "a list of objects with entityTypeId and name, and perhaps type, isMultiple and isRequired",
    ),
    "smart_processes": (
        lambda value: isinstance(value, (list, tuple)) and all(type(item) is int and item >= 128 for item in value),
        "a list of whole numbers of 128 or more",
    ),
    "smart_items_allowed": _FLAG,
    "bizproc_available": _FLAG,
    "statuses": (lambda value: value in ("source", "docs"), '"source" or "docs"'),
    "language": (lambda value: value in ("en", "ru"), '"en" or "ru"'),
    "utc_offset_h": (lambda value: type(value) is int and -12 <= value <= 14, "a whole number from -12 to 14"),
    "filter_shift_s": (_is_number, "a number"),
    "token_lifetime_s": _AMOUNT,
    "rotate_refresh_tokens": _FLAG,
    "refresh_grace_s": _AMOUNT,
    "member_id": (
        lambda value: isinstance(value, str) and re.fullmatch(r"[0-9a-f]{32}", value) is not None,
        "32 hexadecimal digits",
    ),
    "domain": (lambda value: isinstance(value, str), "a host with its port, or an empty text"),
    "administrators": (_is_list_of(int), "a list of user numbers"),
    "dismissed": (_is_list_of(int), "a list of user numbers"),
    "users_without_access": (_is_list_of(int), "a list of user numbers"),
    "rest_available": _FLAG,
    "oauth_available": _FLAG,
    "features": (_is_list_of(str), "a list of codes"),
    "frame_without": (_is_list_of(str), "a list of names of fields"),
}
