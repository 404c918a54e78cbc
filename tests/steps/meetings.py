"""Who may meet whom: pairs of acts on the same delivery, event or portal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relay.core.lifecycle import State
from tests.delivering.contexts import BATCHING
from tests.delivering.plans import MADE
from tests.steps import acts
from tests.steps import beginnings as at
from tests.steps.pairs import Pair
from tests.steps.world import Journey, World
from workers.bitrix24.bizproc import START

LAPSED_S = 121.0
"""After this time a claim has lapsed."""


def _to_cancel(world: World) -> Mapping[str, Any]:
    (delivery_id,) = at.ids(at.waiting(1), world)
    return {"send_once": {}, "cancel": {"delivery_id": delivery_id}}


def _to_decide(world: World) -> Mapping[str, Any]:
    at.uncertain(is_started=True)(world)
    (delivery,) = world.deliveries()
    workflow_id = world.portal.started()[0]["id"]
    settled = {"delivery_id": delivery.id, "state": State.STARTED.value, "workflow_id": workflow_id}
    return {"look_into": {}, "settle": settled}


def _to_erase(world: World) -> Mapping[str, Any]:
    at.received(at.CALLBACK, {})(world)
    (delivery,) = world.deliveries()
    acts.cancel(world.hands, delivery.id)
    return {"erase": {"value": at.PERSON}, "replay": {"wanted": delivery.id}}


def _to_be_held(world: World) -> Mapping[str, Any]:
    acts.pause(world.hands)
    acts.resume(world.hands)
    return at.waiting(1, fault={"kind": "error", "code": "expired_token", "method": START})(world)


def _watched_and_started(world: World) -> Mapping[str, Any]:
    at.received(at.WATCHED)(world)
    (delivery,) = world.deliveries()
    assert delivery.watched
    return {"send_once": {}, "finish": {"token": delivery.watched.address.rsplit("/", 1)[-1]}}


def _pair(first: str, other: str, begin: at.Beginning, name: str = "", **more: Any) -> Pair:
    of_pair = {key: more.pop(key) for key in ("passed_s", "since", "asks") if key in more}
    return Pair(Journey(name or f"{first} / {other}", first, begin, **more), other, **of_pair)


PAIRS = {
    pair.name: pair
    for pair in (
        _pair("receive", "receive", at.given(at.SEED), name="duplicate / duplicate"),
        _pair("send_once", "send_once", at.waiting(1), name="claim / claim"),
        _pair("send", "send", at.three_at_once, options=BATCHING, workflows=4, name="claim / claim, a batch"),
        _pair("send_once", "send_once", at.planned(MADE), documents=1, name="make / make"),
        _pair("send_once", "mend", at.waiting(1), passed_s=LAPSED_S, name="claim and outcome / sweep"),
        _pair("send_once", "repair", at.waiting(1), passed_s=LAPSED_S, name="claim and outcome / repair"),
        _pair("send_once", "repair", at.planned(MADE), passed_s=LAPSED_S, documents=1, name="make / repair"),
        _pair("mend", "mend", at.claimed(at.waiting(1)), name="sweep / sweep"),
        _pair("give_back", "mend", at.claimed(at.waiting(1), ago_s=60), passed_s=LAPSED_S, name="give back / sweep"),
        _pair("look_into", "look_into", at.uncertain(is_started=True), name="reconcile / reconcile"),
        _pair("look_into", "settle", _to_decide, name="reconcile / settle"),
        _pair("settle", "look_into", _to_decide, name="settle / reconcile"),
        _pair("replay", "replay", at.cancelled(1, then=at.wanted)),
        _pair("resume", "send_once", _to_be_held, name="resume / hold"),
        _pair("send_once", "resume", _to_be_held, name="hold / resume"),
        _pair("send_once", "cancel", _to_cancel, workflows=None, name="claim / cancel"),
        _pair("cancel", "send_once", _to_cancel, workflows=None, name="cancel / claim"),
        _pair("erase", "replay", _to_erase, workflows=0, erased=at.PERSON, asks=("erase",)),
        _pair("replay", "erase", _to_erase, workflows=0, erased=at.PERSON, asks=("erase",)),
        _pair("send_once", "finish", _watched_and_started, name="outcome / finish", since=START),
        _pair("step_bulks", "step_bulks", at.cancelled(1, then=at.begun_bulk), name="bulk / bulk"),
    )
}
