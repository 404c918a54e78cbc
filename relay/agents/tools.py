"""The tools: ten at most, each named by what it may. A tool's docstring is what the model reads about it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from relay.agents.api import UNNAMED, RelayApi
from relay.agents.plain import (
    content_of_delivery,
    content_of_event,
    delivery_in_words,
    event_in_words,
    marked,
    tried_in_words,
    word,
)
from relay.core.errors import RelayError
from relay.core.ids import EVENT_PREFIX, iso, utc_now
from relay.core.lifecycle import State
from relay.core.printing import harmless

AGE = re.compile(r"(\d{1,4})([mhd])")
UNITS = {"m": "minutes", "h": "hours", "d": "days"}
MOST = 50
WAITED_S = 10.0
"""How long an order is watched before the answer says that it still runs."""
POLL_S = 0.3

Since = Annotated[str | None, Field(description="an age such as 90m, 24h, 7d, or a time such as 2026-06-01T00:00:00Z")]
Search = Annotated[
    str | None,
    Field(max_length=200, description="an id, a workflow id, a document such as LEAD_12, or a person's value"),
]
Content = Annotated[
    bool, Field(description="add what strangers wrote, masked and marked as data; only if a person asks for it")
]
EventId = Annotated[str, Field(pattern=r"^evt_[0-9a-z]{26}$")]
DeliveryId = Annotated[str, Field(pattern=r"^dlv_[0-9a-z]{26}$")]
Name = Annotated[str | None, Field(max_length=200)]


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools on one relay. Every tool raises ToolError with the relay's own words where it refuses."""

    api: RelayApi

    def events_read(
        self,
        context: Context,
        *,
        q: Search = None,
        event_id: Annotated[EventId | None, Field(description="one event; then nothing else is looked at")] = None,
        state: Literal["accepted", "ignored", "rejected", "refused"] | None = None,
        source: Name = None,
        rule: Name = None,
        since: Since = None,
        limit: Annotated[int, Field(ge=1, le=MOST)] = 10,
        content: Content = False,
    ) -> dict[str, Any]:
        """Find events and say why their workflows started or did not: reason in words, and what happens next.

        The answer to "why did this lead not start?": search by a document, a person's e-mail or number, or an id.
        `content` needs an event_id.
        """
        if event_id:
            event = self._get(context, f"/events/{event_id}", {"body": content})
            found = {"event": event_in_words(event, self._gates(context))}
            return found | ({"content": marked(content_of_event(event))} if content else {})
        if content:
            raise ToolError("content: give an event_id")
        wanted = {"q": q, "state": state, "source": source, "rule": rule, "since": _time(since)}
        page = self._get(context, "/events", wanted | {"limit": limit, "body": False})
        gates = self._gates(context)
        return {"events": [event_in_words(one, gates) for one in page["events"]], "has_more": bool(page["cursor"])}

    def deliveries_read(
        self,
        context: Context,
        *,
        q: Search = None,
        delivery_id: Annotated[
            DeliveryId | None, Field(description="one delivery; then nothing else is looked at")
        ] = None,
        state: State | None = None,
        source: Name = None,
        rule: Name = None,
        portal: Name = None,
        code: Annotated[str | None, Field(max_length=200, description="a portal's error code, or a reason")] = None,
        since: Since = None,
        limit: Annotated[int, Field(ge=1, le=MOST)] = 10,
        content: Content = False,
    ) -> dict[str, Any]:
        """Find deliveries: one event through one rule, with every attempt at the portal.

        `content` (parameters, and the portal's own words) needs a delivery_id.
        """
        if delivery_id:
            delivery = self._get(context, f"/deliveries/{delivery_id}")
            found = {"delivery": delivery_in_words(delivery, self._gates(context))}
            return found | ({"content": marked(content_of_delivery(delivery))} if content else {})
        if content:
            raise ToolError("content: give a delivery_id")
        wanted = {"q": q, "state": state, "source": source, "rule": rule, "portal": portal, "code": code}
        page = self._get(context, "/deliveries", wanted | {"since": _time(since), "limit": limit})
        gates = self._gates(context)
        found = [delivery_in_words(one, gates) for one in page["deliveries"]]
        return {"deliveries": found, "has_more": bool(page["cursor"])}

    def needs_read(self, context: Context, *, since: Since = None) -> dict[str, Any]:
        """List what failed and waits for a person, in groups of the same failure, with how many each has.

        The answer to "what failed since yesterday?": since=24h. A group's `filter` is what replay_write takes.
        """
        groups = self._get(context, "/needs", {"since": _time(since)})["groups"]
        names = ("state", "count", "first_seen", "last_seen", "newest", "filter")
        found = [{"says": _line(one["says"])} | {name: one[name] for name in names} for one in groups]
        return {"now": iso(utc_now()), "since": _time(since), "groups": found}

    def portals_read(self, context: Context) -> dict[str, Any]:
        """Say of each portal whether it is open, paused or held and why, and how many deliveries wait for it."""
        names = ("name", "gate", "advice", "since", "until", "waiting", "due")
        portals = self._gates(context).values()
        return {"portals": [{name: one[name] for name in names} | {"reason": word(one["reason"])} for one in portals]}

    def rules_read(self, context: Context) -> dict[str, Any]:
        """List the rules in force: their source, portal and template, and how many deliveries each has made."""
        return self._get(context, "/rules")

    def rules_try_read(
        self,
        context: Context,
        *,
        event_id: EventId,
        rule: Name = None,
        content: Content = False,
    ) -> dict[str, Any]:
        """Say what today's rules would make of an event on record: match, call, or errors by field. Changes nothing.

        The answer to "what would this rule make of that event?". Values of parameters come with `content` only.
        """
        answer = self._get(context, f"/events/{event_id}/tried")
        tried = [one for one in answer["tried"] if rule in {None, one["rule"]}]
        if rule and not tried and not answer["unreadable"]:
            raise ToolError(f"no rule {rule!r} is for the source of this event: rules_read lists the rules")
        found = {"tried": [tried_in_words(one) for one in tried], "unreadable": bool(answer["unreadable"])}
        return found | ({"content": marked(tried)} if content else {})

    def audit_read(self, context: Context) -> dict[str, Any]:
        """Add up the ledger: how many events and deliveries are in each state, and whether the books balance."""
        return self._get(context, "/audit")

    def replays_read(
        self, context: Context, replay_id: Annotated[str, Field(pattern=r"^rpl_[0-9a-f]{20}$")]
    ) -> dict[str, Any]:
        """Say how far an order of replay_write is, and what has become of its deliveries."""
        return _order(self._get(context, f"/replays/{replay_id}"))

    def replay_write(
        self,
        context: Context,
        *,
        state: Literal["dead", "rejected", "ignored"] = "dead",
        source: Name = None,
        rule: Name = None,
        portal: Name = None,
        code: Name = None,
        template_id: Annotated[int | None, Field(ge=0)] = None,
        document_id: Annotated[str | None, Field(max_length=200, description="such as LEAD_12")] = None,
        fault: Annotated[str | None, Field(max_length=200, description="as a group of needs_read has it")] = None,
        needs: Annotated[bool, Field(description="only what nobody has dealt with")] = True,
        since: Since = None,
        rules: Annotated[
            Literal["original", "current"], Field(description="the same calls, or what today's rules make")
        ] = "original",
        confirmation: Annotated[str | None, Field(description="of the dry run, after a person has agreed")] = None,
    ) -> dict[str, Any]:
        """Replay a group: each of its deliveries starts its workflow. It asks first.

        Without `confirmation` nothing is done: the answer says what would be replayed. Show that to the person. Only if
        they agree, call again with the same arguments and the confirmation. It is refused if the group has changed.
        """
        # The age is turned into a time at the dry run only: the filter of the order has to be the same.
        moment, _, _ = (confirmation or "").rpartition("/")
        from_then = moment or _time(since)
        given = {"source": source, "rule": rule, "portal": portal, "code": code, "template_id": template_id}
        given |= {"document_id": document_id, "fault": fault, "since": from_then}
        wanted = {name: value for name, value in given.items() if value is not None}
        order = {"filter": wanted | {"state": state, "needs": needs and state != "ignored"}, "rules": rules}
        if confirmation is None:
            return self._foresee(context, order, since=from_then or "")
        key = confirmation.rpartition("/")[2]
        begun = self._post(context, "/replays", order | {"confirmation": key}, key)
        deadline = time.monotonic() + WAITED_S
        while begun["state"] == "running" and time.monotonic() < deadline:
            time.sleep(POLL_S)
            begun = self._get(context, f"/replays/{begun['id']}")
        return _order(begun)

    def settle_write(
        self,
        context: Context,
        *,
        delivery_id: DeliveryId,
        settle_as: Annotated[
            Literal["started", "retrying", "dead"],
            Field(description="it did start; it did not, send it again; give it up"),
        ],
        note: Annotated[str, Field(min_length=1, max_length=500, description="how the person knows, for the log")],
        workflow_id: Annotated[str | None, Field(max_length=32, description="if the person has seen it")] = None,
    ) -> dict[str, Any]:
        """Settle an uncertain delivery as a person decided who has looked on the portal. Never decide it yourself.

        `retrying` sends the call again: if the first one did arrive, the workflow starts twice.
        """
        given = {"as": settle_as, "note": note} | ({"workflow_id": workflow_id} if workflow_id else {})
        settled = self._post(context, f"/deliveries/{delivery_id}/settle", given)
        return {"delivery": delivery_in_words(settled, self._gates(context))}

    def _foresee(self, context: Context, order: Mapping[str, Any], since: str) -> dict[str, Any]:
        foreseen = self._post(context, "/replays", {**order, "dry_run": True})
        sample = [self._seen(context, one) for one in foreseen["sample"]]
        return {
            "done": "nothing yet",
            "would_replay": foreseen["found"],
            "rules": foreseen["rules"],
            "newest": sample,
            "confirmation": f"{since}/{foreseen['confirmation']}" if foreseen["found"] else None,
            "what_next": "Show this to the person. If they agree, call again with the same arguments and this "
            "confirmation." if foreseen["found"] else "Nothing fits: there is nothing to replay.",
        }  # fmt: skip

    def _seen(self, context: Context, one: str) -> dict[str, Any]:
        """One that would be replayed, in short."""
        if one.startswith(EVENT_PREFIX):
            event = event_in_words(self._get(context, f"/events/{one}", {"body": False}), {})
            return {name: event[name] for name in ("id", "source", "state", "reason", "received_at")}
        delivery = delivery_in_words(self._get(context, f"/deliveries/{one}"), {})
        return {name: delivery[name] for name in ("id", "rule", "portal", "document", "state", "reason", "created_at")}

    def _gates(self, context: Context) -> dict[str, dict[str, Any]]:
        """The portals by name."""
        return {one["name"]: one for one in self._get(context, "/portals")["portals"]}

    def _get(self, context: Context, path: str, query: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            return self.api.get(path, _agent(context), query)
        except RelayError as error:
            raise ToolError(_line(str(error))) from None

    def _post(self, context: Context, path: str, content: Mapping[str, Any], key: str | None = None) -> dict[str, Any]:
        try:
            return self.api.post(path, _agent(context), content, key)
        except RelayError as error:
            raise ToolError(_line(str(error))) from None


READING = (
    Tools.events_read, Tools.deliveries_read, Tools.needs_read, Tools.portals_read, Tools.rules_read,
    Tools.rules_try_read, Tools.audit_read, Tools.replays_read,
)  # fmt: skip
WRITING = (Tools.replay_write, Tools.settle_write)


def _agent(context: Context) -> str:
    """The client's own name for itself."""
    told = context.session.client_params
    return told.client_info.name if told else UNNAMED


def _time(since: str | None) -> str | None:
    """A time for the API. Raises ToolError."""
    if since is None:
        return None
    if match := AGE.fullmatch(since):
        return iso(utc_now() - timedelta(**{UNITS[match[2]]: int(match[1])}))
    return since


def _order(answer: Mapping[str, Any]) -> dict[str, Any]:
    names = ("id", "state", "found", "replayed", "refused", "skipped_codes", "outcomes")
    return {name: answer[name] for name in names if name in answer}


def _line(text: str) -> str:
    """Words of the relay, on one line and cut."""
    return harmless(text).replace("\n", " ")[:300]
