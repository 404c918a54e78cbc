"""Local applications on record: openings, which the web process leaves sealed, installations, and kept tokens.

An opening is one frame of the application that a browser has posted. The web process cannot tell a genuine one: it
leaves the sealed fields, and a worker finds out who opened what. Until then nothing of it is believed. Tokens are here
only as boxes that the workers' key opens.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from redis import Redis

from relay.core.errors import NotFoundError
from relay.core.faults import Fault, as_text, from_text
from relay.core.ids import from_ms, to_ms
from relay.core.phrases import phrase
from relay.core.plan import DocumentId
from relay.store.redis import keys
from relay.store.redis.scripts import Argument, Script, ScriptCall, guarded, pairs, run, write_fields

ARRIVE, OPENED, BIND = Script.load("arrive"), Script.load("opened"), Script.load("bind")
TURN, WORD = Script.load("turn", tells_again=True), Script.load("word", tells_again=True)
WAITS = timedelta(minutes=10)
KEPT = timedelta(minutes=15)
"""How long an answered opening is kept: a page that was left open longer has to be opened again."""
TAKEN = timedelta(seconds=45)
"""A worker that takes an opening and dies leaves it to another after this time. Longer than all its calls."""
MOST_WAITING = 50
LARGEST_BOX = 12_000
"""Bytes of a sealed box. The fields of a frame have at most 8 KB."""
WAITING_KEPT = timedelta(days=7)


class OpeningState(StrEnum):
    """Whether a worker has answered, and whether the page may be shown."""

    ASKED = "asked"
    SHOWN = "shown"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Opening:
    """One opening, without its tokens. Until it is answered, all but portal, language and turn is empty.

    reason: why it is refused. placement: such as CRM_DEAL_DETAIL_TAB, or DEFAULT for the application's own page.
    document: of a card, which the user may read; None: no card. language: of the user, as the browser says. turn: the
    number of page tokens that are used up.
    """

    id: str
    portal: str
    state: OpeningState = OpeningState.ASKED
    reason: Fault | None = None
    placement: str = ""
    document: DocumentId | None = None
    user_id: str = ""
    user_name: str = field(default="", repr=False)
    is_admin: bool = False
    language: str = ""
    turn: int = 0


class InstallationState(StrEnum):
    """Whether an installation is used."""

    WAITING = "waiting"
    """It is on an unexpected portal: an operator accepts or refuses it."""
    CONNECTED = "connected"
    CLOSED = "closed"
    """The portal says that the application is not there any more, or may not call."""


@dataclass(frozen=True, slots=True)
class Administrator:
    """An administrator who has opened the application. at: the last time. trouble: why the pair does not work now."""

    user_id: str
    name: str = field(repr=False)
    at: datetime
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Installation:
    """An installed application, as the authorisation server describes it; member_id and client_id are its identity.

    domain: the portal's host, with its port if it is unusual. endpoint: the address of REST. reason: why it is closed.
    admins: whose tokens are kept; of one that waits, whoever opened it, and nothing is kept. at: when it was connected,
    or began to wait. is_accepted: an operator has accepted it; its administrator has to open it once more.
    placements: what of the file is shown on the portal: kinds of cards, and `menu`.
    """

    client_id: str
    member_id: str
    domain: str
    endpoint: str
    state: InstallationState
    at: datetime
    reason: str = ""
    admins: tuple[Administrator, ...] = ()
    scopes: tuple[str, ...] = ()
    is_accepted: bool = False
    placements: tuple[str, ...] = ()


class Word(StrEnum):
    """An operator's word about an installation that waits."""

    ACCEPTED = "accepted"
    REFUSED = "refused"


class Applications:
    """Openings and installations on record. Every method raises RecordUnavailableError.

    The web process leaves openings, reads answers and installations, uses up page tokens, and says an operator's word.
    All else is the workers' alone; the server's users keep to that (config/redis/users.acl).
    """

    def __init__(self, redis: Redis, replicas: int = 0) -> None:
        self._redis = redis
        self._replicas = replicas

    # Openings

    @guarded
    def arrive(self, portal: str, sealed: bytes, language: str, now: datetime) -> str | None:
        """Leave an opening, and notify a worker. Returns its id; None where too many wait, or the box is too large."""
        if len(sealed) > LARGEST_BOX:
            return None
        opening_id = secrets.token_hex(16)
        fields = pairs([("portal", portal), ("state", OpeningState.ASKED), ("language", language), ("turn", 0)])
        argv: list[Argument] = [opening_id, portal, sealed, to_ms(now), _ms(WAITS), MOST_WAITING, *fields]
        call = ScriptCall(ARRIVE, [keys.OPENING + opening_id, keys.OPENINGS + portal], argv)
        return opening_id if run(self._redis, call) else None

    @guarded
    def opening(self, opening_id: str) -> Opening:
        """Raises NotFoundError, also some time after the answer."""
        kept: Any = self._redis.hgetall(keys.OPENING + opening_id)
        if not kept:
            raise NotFoundError(phrase("no opening of this id"))
        text = _texts(kept)
        reason = from_text(text["reason"]) if text.get("reason") else None
        document = json.loads(text["document"]) if text.get("document") else None
        return Opening(
            opening_id,
            text["portal"],
            OpeningState(text["state"]),
            reason if isinstance(reason, Fault) else None,
            text.get("placement", ""),
            (document[0], document[1], document[2]) if document else None,
            text.get("user_id", ""),
            text.get("user_name", ""),
            text.get("is_admin") == "1",
            text.get("language", ""),
            int(text.get("turn", 0)),
        )

    @guarded
    def turn(self, opening_id: str, turn: int) -> bool:
        """Use up the page token of this turn; the next one is of `turn + 1`. Returns False if it was used before."""
        return bool(run(self._redis, ScriptCall(TURN, [keys.OPENING + opening_id], [str(turn)])))

    @guarded
    def take(self, portal: str, now: datetime) -> tuple[str, bytes] | None:
        """Take the oldest opening: its id and its box. If this process dies over it, another one takes it later."""
        argv: list[Argument] = ["take", to_ms(now), _ms(TAKEN)]
        found = run(self._redis, ScriptCall(OPENED, [keys.OPENINGS + portal], argv))
        return (found[0].decode(), found[1]) if found else None

    @guarded
    def answer(self, opening: Opening) -> bool:
        """Keep the answer to an opening and forget its box. Returns False if it has been answered, or has expired."""
        fields = pairs(
            [
                ("state", opening.state),
                ("reason", as_text(opening.reason) if opening.reason else ""),
                ("placement", opening.placement),
                ("document", json.dumps(opening.document) if opening.document else ""),
                ("user_id", opening.user_id),
                ("user_name", opening.user_name),
                ("is_admin", int(opening.is_admin)),
            ]
        )
        argv: list[Argument] = ["answer", opening.id, _ms(KEPT), *fields]
        return bool(run(self._redis, ScriptCall(OPENED, [keys.OPENINGS + opening.portal], argv)))

    # Installations

    @guarded
    def installation(self, portal: str) -> Installation | None:
        """The installation that is bound to the portal; where none is, the one that waits."""
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hgetall(keys.APPLICATION + portal)
            pipeline.hgetall(keys.ADMINISTRATORS + portal)
            answers: list[Any] = pipeline.execute()
        kept, admins = map(_texts, answers)
        if not kept:
            return self.waiting(portal)
        found = _installation(kept)
        return replace(found, admins=_administrators(admins))

    @guarded
    def waiting(self, portal: str) -> Installation | None:
        """The installation on an unexpected portal that waits for an operator, or, accepted, for its administrator."""
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hgetall(keys.APPLICATION_WAITS + portal)
            pipeline.hgetall(keys.APPLICATION_WORD + portal)
            answers: list[Any] = pipeline.execute()
        kept, words = map(_texts, answers)
        if not kept:
            return None
        word = _word_in(words, kept["member_id"])
        if word is Word.REFUSED:
            return None
        found = _installation(kept)
        return replace(found, admins=_administrators(json.loads(kept["admins"])), is_accepted=word is Word.ACCEPTED)

    def accept(self, portal: str, member_id: str, who: str, now: datetime) -> bool:
        """An operator accepts the installation that waits. Returns False where another one waits by now, or none."""
        return self._say(portal, member_id, Word.ACCEPTED, who, now)

    def refuse(self, portal: str, member_id: str, who: str, now: datetime) -> bool:
        """An operator refuses it, for good: its openings are refused from now on."""
        return self._say(portal, member_id, Word.REFUSED, who, now)

    @guarded
    def _say(self, portal: str, member_id: str, word: Word, who: str, now: datetime) -> bool:
        text = json.dumps({"word": word, "who": who, "at": to_ms(now)})
        call = ScriptCall(WORD, [keys.APPLICATION_WORD + portal], [portal, member_id, text])
        return bool(run(self._redis, call))

    @guarded
    def word(self, portal: str, member_id: str) -> Word | None:
        """The operator's word about an installation; None: nothing was said."""
        said: Any = self._redis.hget(keys.APPLICATION_WORD + portal, member_id)
        return _word_in({member_id: said.decode()}, member_id) if said else None

    # The workers' part

    @guarded
    def wait_for_operator(self, portal: str, installation: Installation) -> None:
        """Leave an installation on an unexpected portal to an operator, in place of an earlier one."""
        key = keys.APPLICATION_WAITS + portal
        admins = {one.user_id: _as_text(one) for one in installation.admins}
        with self._redis.pipeline() as pipeline:
            pipeline.delete(key)
            fields: dict[str, str] = {**_fields(installation), "admins": json.dumps(admins)}
            pipeline.hset(key, mapping=fields)  # type: ignore[arg-type] # invariant in redis-py
            pipeline.pexpire(key, WAITING_KEPT)
            pipeline.execute()

    @guarded
    def bind(self, portal: str, installation: Installation) -> None:
        """Bind an installation to the portal. Tokens and administrators of another one are forgotten."""
        names = [keys.APPLICATION, keys.TOKENS_OF, keys.ADMINISTRATORS, keys.APPLICATION_WAITS]
        argv = [installation.client_id, installation.member_id, *pairs(_fields(installation).items())]
        run(self._redis, ScriptCall(BIND, [name + portal for name in names], argv), self._replicas)

    @guarded
    def forget(self, portal: str) -> None:
        """Forget the installation with its tokens."""
        self._redis.delete(keys.TOKENS_OF + portal, keys.ADMINISTRATORS + portal, keys.APPLICATION + portal)

    def close(self, portal: str, reason: str) -> None:
        """Note that the portal does not let the application call, and why."""
        self._change(portal, {"state": InstallationState.CLOSED, "reason": reason})

    def open(self, portal: str) -> None:
        """Note that the application may call again."""
        self._change(portal, {"state": InstallationState.CONNECTED, "reason": ""})

    def show_placements(self, portal: str, names: tuple[str, ...]) -> None:
        """Note what of the file is shown on the portal."""
        self._change(portal, {"placements": json.dumps(names)})

    @guarded
    def _change(self, portal: str, fields: Mapping[str, str]) -> None:
        if self._redis.exists(keys.APPLICATION + portal):
            write_fields(self._redis, keys.APPLICATION + portal, fields)

    @guarded
    def pairs(self, portal: str) -> dict[str, bytes]:
        """The boxes with the tokens in force, by the user id of their administrator."""
        kept: Any = self._redis.hgetall(keys.TOKENS_OF + portal)
        return {user_id.decode(): box for user_id, box in kept.items()}

    @guarded
    def administrators(self, portal: str) -> tuple[Administrator, ...]:
        """The administrators whose tokens are kept, the newest first."""
        kept: Any = self._redis.hgetall(keys.ADMINISTRATORS + portal)
        return _administrators(_texts(kept))

    def keep_pair(self, portal: str, user_id: str, box: str) -> None:
        """Keep a pair, on as many replicas as are waited for. The former pair of this user may be dead."""
        write_fields(self._redis, keys.TOKENS_OF + portal, {user_id: box}, self._replicas)

    def keep_administrator(self, portal: str, administrator: Administrator) -> None:
        """Keep what is known of an administrator."""
        fields = {administrator.user_id: _as_text(administrator), _TROUBLE + administrator.user_id: ""}
        write_fields(self._redis, keys.ADMINISTRATORS + portal, fields)

    def note_trouble(self, portal: str, user_id: str, trouble: str) -> None:
        """Note why the pair of an administrator does not work; empty: it does."""
        write_fields(self._redis, keys.ADMINISTRATORS + portal, {_TROUBLE + user_id: trouble})

    @guarded
    def drop_administrator(self, portal: str, user_id: str) -> None:
        """Forget an administrator and their tokens."""
        self._redis.hdel(keys.TOKENS_OF + portal, user_id)
        self._redis.hdel(keys.ADMINISTRATORS + portal, user_id, _TROUBLE + user_id)


_TROUBLE = "trouble:"


def _word_in(words: Mapping[str, str], member_id: str) -> Word | None:
    return Word(json.loads(words[member_id])["word"]) if member_id in words else None


def _fields(one: Installation) -> dict[str, str]:
    return {
        "client_id": one.client_id,
        "member_id": one.member_id,
        "domain": one.domain,
        "endpoint": one.endpoint,
        "state": one.state,
        "reason": one.reason,
        "at": str(to_ms(one.at)),
        "scopes": " ".join(one.scopes),
        "placements": json.dumps(one.placements),
    }


def _installation(text: Mapping[str, str]) -> Installation:
    return Installation(
        client_id=text["client_id"],
        member_id=text["member_id"],
        domain=text["domain"],
        endpoint=text["endpoint"],
        state=InstallationState(text["state"]),
        at=from_ms(int(text["at"])),
        reason=text["reason"],
        scopes=tuple(text["scopes"].split()),
        placements=tuple(json.loads(text["placements"])),
    )


def _as_text(one: Administrator) -> str:
    return json.dumps({"name": one.name, "at": to_ms(one.at)}, ensure_ascii=False)


def _administrators(kept: Mapping[str, str]) -> tuple[Administrator, ...]:
    read = {user_id: json.loads(text) for user_id, text in kept.items() if not user_id.startswith(_TROUBLE)}
    found = [
        Administrator(user_id, one["name"], from_ms(one["at"]), kept.get(_TROUBLE + user_id, ""))
        for user_id, one in read.items()
    ]
    return tuple(sorted(found, key=lambda one: one.at, reverse=True))


def _texts(kept: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode("utf-8", "replace") for name, value in kept.items()}


def _ms(duration: timedelta) -> int:
    return int(duration.total_seconds() * 1000)
