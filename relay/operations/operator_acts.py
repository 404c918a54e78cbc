"""Everything that a person does to a delivery, an event or a portal, and the one table of it.

OperatorActs does an act: it compares and swaps, and writes the audit log. ACTS says how an act is called, what it asks
and in which states it is offered; the pages, orders on many, the API and the audit log's words are made from it. The
web checks the role (relay/web/auth.py): every act needs the one that may change something.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from relay.core.errors import IllegalTransitionError, LostRace, NotFoundError, RelayError, WorkflowTaken
from relay.core.events import CallbackState, Delivery, finish_step
from relay.core.faults import fault
from relay.core.ids import utc_now
from relay.core.lifecycle import FINAL, BulkAct, EventState, State, advance
from relay.core.phrases import Phrase, phrase
from relay.core.plan import How
from relay.operations.configure import Config
from relay.operations.replay import Replayer
from relay.store import Store
from relay.store.operators.audit_log import Act as LogEntry
from relay.store.portals.questions import METHODS, Asked, Question
from relay.store.record.persons import PersonIndex
from relay.store.record.record import Record

TEMPLATES_EVERY = timedelta(minutes=1)
"""A portal is asked for its templates at most this often, however many pages want them."""


class RefusedError(RelayError):
    """The act cannot be done now; the text says why."""


@dataclass(frozen=True, slots=True)
class OperatorActs:
    """The acts. who, in each: the role or name for the audit log.

    is_logged: each act is an entry there; else whoever acts on many writes it once for all.
    """

    store: Store
    replayer: Replayer
    clock: Callable[[], datetime] = utc_now
    is_logged: bool = True

    @classmethod
    def of(cls, store: Store, config: Config, persons: PersonIndex | None, base: str | None) -> OperatorActs:
        """The acts, with replays by the rules of this configuration. persons, base: see Replayer."""
        return cls(store, Replayer(store.record, config.sources, config.rules, persons, base))

    @property
    def record(self) -> Record:
        """Events and deliveries."""
        return self.store.record

    def replay(self, wanted: str, who: str, *, current_rules: bool) -> list[Delivery]:
        """New deliveries for an old one, or for an event without any. Raises what Replayer.replay raises."""
        made = self.replayer.replay(wanted, current_rules=current_rules)
        names = [one.id for one in made]
        said = fault("made_by_current_rules" if current_rules else "made_by_original_rules", names=names)
        self._log(who, REPLAY, wanted, said=said)
        return made

    def replay_edited(self, wanted: str, who: str, body: bytes) -> list[Delivery]:
        """The same with an edited body, which is kept beside the original. Raises what Replayer.replay raises."""
        made = self.replayer.replay_edited(wanted, body)
        self._log(who, "edit and replay", wanted, f"{made[0].event_id}: {', '.join(one.id for one in made)}")
        return made

    def settle(self, delivery_id: str, who: str, state: State, note: str, workflow_id: str | None = None) -> Delivery:
        """Decide an uncertain delivery: it started, it is to be sent again, or it is given up.

        Of one that is uncertain at a trigger, `started` says that the trigger was fired; what follows it then comes.

        Raises NotFoundError, RefusedError.
        """
        delivery = self.record.delivery(delivery_id)
        if delivery.state is not State.UNCERTAIN:
            raise RefusedError(fault("not_uncertain", id=delivery_id, state=delivery.state))
        # The note is in the audit log: reasons are words that are counted and indexed.
        if state is State.STARTED and delivery.next_step:
            self._go_on(delivery)
        else:
            # An id beside another decision would claim a workflow for a delivery that has not started it.
            started = workflow_id if state is State.STARTED else None
            self._move(delivery, state, "settled_by_person", workflow_id=started)
        self._log(who, SETTLED_AS[state], delivery_id, note)
        return self.record.delivery(delivery_id)

    def cancel(self, delivery_id: str, who: str, note: str) -> Delivery:
        """Give up a delivery that still waits. Raises NotFoundError, RefusedError."""
        delivery = self.record.delivery(delivery_id)
        if delivery.state not in {State.PENDING, State.RETRYING}:
            raise RefusedError(fault("not_waiting", id=delivery_id, state=delivery.state))
        self._move(delivery, State.DEAD, "cancelled")
        self._log(who, CANCEL, delivery_id, note)
        return self.record.delivery(delivery_id)

    def leave(self, delivery_id: str, who: str, note: str) -> Delivery:
        """Acknowledge a dead delivery, or one whose end is overdue: it stays as it is, and is no longer a need.

        Raises NotFoundError, RefusedError.
        """
        self.record.delivery(delivery_id)
        if not self.record.leave(delivery_id):
            raise RefusedError(fault("delivery_needs_nobody", id=delivery_id))
        self._log(who, LEAVE, delivery_id, note)
        return self.record.delivery(delivery_id)

    def leave_event(self, event_id: str, who: str, note: str) -> None:
        """Acknowledge a rejected event: it stays so, and is no longer a need. Raises NotFoundError, RefusedError."""
        self.record.event(event_id)
        if not self.record.leave(event_id):
            raise RefusedError(fault("event_needs_nobody", id=event_id))
        self._log(who, LEAVE, event_id, note)

    def reveal_secret(self, source: str, who: str) -> str:
        """The secret that a source's sender gave, to the first person who asks. Raises RefusedError."""
        secret = self.store.senders.reveal_secret(source, self.clock())
        if secret is None:
            raise RefusedError(
                phrase("the sender of %(source)s has given no secret, or somebody has seen it before", source=source)
            )
        self._log(who, "reveal secret", source)
        return secret

    def forget_secret(self, source: str, who: str) -> None:
        """Forget the secret that a source's sender gave: its next handshake gives another. Raises RefusedError."""
        if not self.store.senders.forget_secret(source):
            raise RefusedError(phrase("the sender of %(source)s has given no secret", source=source))
        self._log(who, "forget secret", source)

    def pause(self, portal: str, who: str, until: datetime | None = None) -> None:
        """Send nothing to a portal until it is resumed, or until this time. Raises RefusedError."""
        if until and until <= self.clock():
            raise RefusedError(phrase("this time has passed: expected one that is still to come"))
        self.store.pause(portal, who, self.clock(), until)

    def resume(self, portal: str, who: str) -> None:
        """Open a portal, whatever closed it."""
        self.store.resume(portal, who, self.clock())

    def accept_application(self, portal: str, who: str, member_id: str) -> None:
        """Let an unexpected portal be connected. Raises RefusedError where another one waits by now, or none."""
        if not self.store.applications.accept(portal, member_id, who, self.clock()):
            raise RefusedError(phrase("this installation does not wait any more: look again"))
        self._log(who, ACCEPT, portal, member_id)

    def refuse_application(self, portal: str, who: str, member_id: str) -> None:
        """Refuse an unexpected portal, for good. Raises RefusedError where another one waits by now, or none."""
        if not self.store.applications.refuse(portal, member_id, who, self.clock()):
            raise RefusedError(phrase("this installation does not wait any more: look again"))
        self._log(who, REFUSE, portal, member_id)

    def test_channel(self, channel: str, who: str) -> None:
        """Have a worker send a test over a channel of alerts. Raises NotFoundError."""
        if channel not in {one.name for one in self.store.operators.alerts.channels(self.clock())}:
            raise NotFoundError(phrase("no worker has a channel %(channel)r", channel=channel))
        self.store.operators.alerts.ask_test(channel)
        self._log(who, "test alert", channel)

    def ping(self, portal: str, who: str) -> Question:
        """Have a worker check credential, scope, templates and rules of a portal; nothing is started."""
        question = self.store.questions.ask(portal, Asked.PING, "", self.clock())
        self._log(who, Asked.PING, portal)
        return question

    def ask_templates(self, portal: str) -> Question:
        """Have a worker list the templates of a portal, with their parameters, at most once a minute.

        It changes nothing there and the page asks by itself, so the log does not tell of it.
        """
        return self.store.questions.ask_at_most(TEMPLATES_EVERY, portal, Asked.TEMPLATES, self.clock())

    def end_workflow(self, workflow_id: str, who: str, act: str) -> Question:
        """Ask the portal to terminate or kill a workflow that the relay has started. Raises RefusedError."""
        if act not in METHODS:
            raise RefusedError(phrase("expected one of %(names)s", names=", ".join(METHODS)))
        delivery_id = self.record.delivery_of_workflow(workflow_id)
        if delivery_id is None:
            raise RefusedError(phrase("the relay has started no such workflow"))
        portal = self.record.delivery(delivery_id).call.portal
        question = self.store.questions.ask(portal, Asked(act), workflow_id, self.clock())
        self._log(who, KILL if act == "kill" else TERMINATE, workflow_id, delivery_id)
        return question

    def _go_on(self, delivery: Delivery) -> None:
        """The trigger was fired, a person says: what follows it comes next, if anything does."""
        progress = finish_step(delivery, How.FIRED, None, self.clock())
        state = State.RETRYING if progress.state is State.PENDING else progress.state
        self._move(delivery, state, progress.reason or "settled_by_person", after=progress.delivery)

    def _move(self, delivery: Delivery, state: State, reason: str, **what: object) -> None:
        try:
            advance(delivery.state, state)
            self.record.settle(delivery, state, self.clock(), reason=reason, **what)  # type: ignore[arg-type] # by name
        except IllegalTransitionError as error:
            raise RefusedError(str(error)) from None
        except WorkflowTaken:
            raise RefusedError(fault("workflow_of_other")) from None
        except LostRace:
            raise RefusedError(fault("moved_meanwhile", id=delivery.id)) from None

    def _log(self, who: str, what: str | Act, subject: str, note: str = "", *, said: str = "") -> None:
        if self.is_logged:
            deed = str(what.deed) if isinstance(what, Act) else what
            self.store.operators.log(LogEntry(self.clock(), who, deed, subject, note, said))


class Subject(StrEnum):
    """Kinds of subjects of acts, as the API's paths call them."""

    DELIVERY = "delivery"
    EVENT = "event"
    PORTAL = "portal"
    WORKFLOW = "workflow"
    """That of a delivery, by the portal's id for it."""


Given = Mapping[str, Any]
"""Parameters of an act: note, workflow_id, until, member_id."""
Does = Callable[[OperatorActs, str, str, Given], Any]
"""Do an act: to the subject of this id, by this person, as asked. Returns what came of it."""


@dataclass(frozen=True, slots=True)
class Many:
    """The same act on all that a filter finds. act: of the order. button, says: of its choice. progress: how far it is.

    sends: something is sent after it, so it waits until there is room.
    """

    act: BulkAct
    button: str
    says: str
    progress: str
    sends: bool = False


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that a person does.

    name: in the address of its page, and in the form of orders on many.
    subject, verb: make its address in the API. given: what a request of that verb says to mean this act, where there
    are several; `rules` of an order on many, too.
    deed: its word in the audit log.
    does: the act itself.
    button, says: of the page that asks before it is done. done: what the page says after it.
    summary: for the API's document; of several acts of a verb, the first has it.
    states: of what it is offered for. fits: where more than the state decides.
    asks: fields beside the confirmation. is_grave: marked as such.
    many: absent, it is not done to many at once.
    """

    name: str
    subject: Subject
    verb: str
    deed: Phrase
    does: Does
    button: str
    says: str
    done: str = ""
    summary: str = ""
    given: Mapping[str, str] = field(default_factory=dict)
    states: frozenset[State | EventState] = frozenset()
    fits: Callable[[Delivery], Any] = lambda _delivery: True
    asks: tuple[str, ...] = ()
    is_grave: bool = False
    many: Many | None = None

    @property
    def rules(self) -> str:
        """With which rules an order on many makes calls."""
        return self.given.get("rules", "original")

    @property
    def asks_note(self) -> bool:
        """Whether a note is asked for: how the person knows."""
        return "note" in self.asks

    @property
    def of_many(self) -> Many:
        """The same act on many; only of one that can be done so."""
        assert self.many  # noqa: S101 - for the type checker
        return self.many


def _replays(*, current_rules: bool) -> Does:
    return lambda acts, one, who, _asked: acts.replay(one, who, current_rules=current_rules)


def _settles(state: State) -> Does:
    return lambda acts, one, who, asked: acts.settle(one, who, state, asked["note"], asked.get("workflow_id"))


def _ends(verb: str) -> Does:
    return lambda acts, one, who, _asked: acts.end_workflow(one, who, verb)


def _leaves(acts: OperatorActs, one: str, who: str, asked: Given) -> Delivery:
    return acts.leave(one, who, asked["note"])


DELIVERY, EVENT, PORTAL, WORKFLOW = Subject
STARTED, DEAD, UNCERTAIN = frozenset({State.STARTED}), frozenset({State.DEAD}), frozenset({State.UNCERTAIN})
MADE = "A new delivery was made: %(id)s."
LEFT = "Left: %(id)s stays as it is, and needs nobody any more."
SETTLED = "Settled: %(id)s is %(state)s now."
REPLAYED = "%(done)s replayed, %(skipped)s skipped, of %(count)s"
REPLAY = Act(
    "replay", DELIVERY, "replay", phrase("replay"), _replays(current_rules=False),
    "Replay the same call",
    "A new delivery with the call below is made and sent as soon as the portal's pace allows. It goes on with the "
    "documents that were made. The old one stays as it is, and cannot be replayed a second time.",
    MADE,
    "A new delivery for a dead or started one: the same call, or what today's rules make of the event.",
    given={"rules": "original"}, states=FINAL, fits=lambda one: not one.errors,
    many=Many(
        BulkAct.REPLAY, "Replay the same calls",
        "Each gets a new delivery with the same call as before, unless it was replayed already.",
        REPLAYED, sends=True,
    ),
)  # fmt: skip
REPLAY_CURRENT = Act(
    "replay-current", DELIVERY, "replay", phrase("replay"), _replays(current_rules=True),
    "Replay with today's rules",
    "A new delivery is made with the call that today's rules make of the event. What differs from the old call is "
    "marked below. It goes on with the documents that were made. The old one stays as it is, and cannot be "
    "replayed a second time.",
    MADE, given={"rules": "current"}, states=FINAL,
    many=Many(
        BulkAct.REPLAY, "Replay with today's rules",
        "Each gets the deliveries that today's rules make of it, unless it was replayed already. What they cannot fill "
        "is skipped and stays as it is.",
        REPLAYED, sends=True,
    ),
)  # fmt: skip
LEAVE = Act(
    "leave", DELIVERY, "leave", phrase("leave"), _leaves,
    "Leave it",
    "The delivery stays dead, and is no longer counted among what needs a person. It can still be replayed.",
    LEFT,
    "Acknowledge a dead delivery, or an overdue one: it stays so, and is no longer counted as a need.",
    states=DEAD, asks=("note",),
    many=Many(
        BulkAct.LEAVE, "Leave them",
        "They stay as they are, and are no longer counted among what needs a person. They can still be replayed.",
        "%(done)s left, %(skipped)s skipped, of %(count)s",
    ),
)  # fmt: skip
LEAVE_OVERDUE = Act(
    "leave-overdue", DELIVERY, "leave", phrase("leave"), _leaves,
    "Leave it",
    "The workflow is no longer counted among those that are overdue. Should its end be heard of later, it is noted "
    "all the same.",
    LEFT, states=STARTED, asks=("note",),
    fits=lambda one: one.watched is not None and one.watched.state is CallbackState.OVERDUE,
)  # fmt: skip
SETTLE_STARTED = Act(
    "settle-started", DELIVERY, "settle", phrase("settle as %(state)s", state=State.STARTED), _settles(State.STARTED),
    "It has started",
    "The delivery becomes started. Do this after you have seen the workflow on the portal; give its id if you know "
    "it.",
    SETTLED,
    "Decide an uncertain delivery. Where it is a trigger that is uncertain, `started` says that it was fired.",
    given={"as_": "started"}, states=UNCERTAIN, fits=lambda one: not one.next_step, asks=("workflow_id", "note"),
    many=Many(
        BulkAct.STARTED, "They have started",
        "Each becomes started, or its trigger counts as fired. Do this after you have looked on the portal.",
        "%(done)s settled as started, %(skipped)s skipped, of %(count)s",
    ),
)  # fmt: skip
SETTLE_FIRED = Act(
    "settle-fired", DELIVERY, "settle", SETTLE_STARTED.deed, SETTLE_STARTED.does,
    "It was fired",
    "The trigger counts as fired, and what follows it is done. Do this after you have looked at the document on "
    "the portal.",
    SETTLED, given={"as_": "started"}, states=UNCERTAIN, fits=lambda one: one.next_step, asks=("note",),
)  # fmt: skip
SETTLE_AGAIN = Act(
    "settle-again", DELIVERY, "settle", phrase("settle as %(state)s", state=State.RETRYING), _settles(State.RETRYING),
    "Send it again",
    "The call is sent again. If the first one did arrive, it is done twice: look on the portal first.",
    SETTLED, given={"as_": "retrying"}, states=UNCERTAIN, asks=("note",), is_grave=True,
    many=Many(
        BulkAct.AGAIN, "Send them again",
        "Each is sent again. Whatever did arrive the first time is done twice: look on the portal first.",
        "%(done)s sent again, %(skipped)s skipped, of %(count)s", sends=True,
    ),
)  # fmt: skip
GIVE_UP = Act(
    "give-up", DELIVERY, "settle", phrase("settle as %(state)s", state=State.DEAD), _settles(State.DEAD),
    "Give up",
    "The delivery becomes dead. Nothing is sent; it can be replayed later.",
    SETTLED, given={"as_": "dead"}, states=UNCERTAIN, asks=("note",), is_grave=True,
    many=Many(
        BulkAct.GIVE_UP, "Give them up",
        "Each becomes dead. Nothing is sent; they can be replayed later.",
        "%(done)s given up, %(skipped)s skipped, of %(count)s",
    ),
)  # fmt: skip
CANCEL = Act(
    "cancel", DELIVERY, "cancel", phrase("cancel"), lambda acts, one, who, asked: acts.cancel(one, who, asked["note"]),
    "Cancel",
    "The delivery becomes dead before it is sent. It can be replayed later.",
    "Cancelled: %(id)s will not be sent.",
    "Give up a delivery that still waits.",
    states=frozenset({State.PENDING, State.RETRYING}), asks=("note",), is_grave=True,
)  # fmt: skip
TERMINATE = Act(
    "terminate", WORKFLOW, "terminate", phrase("terminate"), _ends("terminate"),
    "Terminate the workflow",
    "The portal is asked to end the workflow. What it has done stays, and so does its log on the portal.",
    summary="Ask the portal to end a workflow and keep its data.",
    states=STARTED, fits=lambda one: one.workflow_id, is_grave=True,
)  # fmt: skip
KILL = Act(
    "kill", WORKFLOW, "kill", phrase("kill"), _ends("kill"),
    "Kill the workflow",
    "The portal is asked to end the workflow and to delete its data, its log included. This cannot be undone.",
    summary="Ask the portal to end a workflow and delete its data.",
    states=STARTED, fits=lambda one: one.workflow_id, is_grave=True,
)  # fmt: skip
REPLAY_EVENT = Act(
    "replay-current", EVENT, "replay", REPLAY.deed, REPLAY_CURRENT.does,
    "Replay with today's rules",
    "No call was made from it. Each of today's rules that can be filled makes a delivery, and it is sent.",
    "Deliveries were made: %(names)s.",
    "New deliveries for an event that no rule could use when it came: what today's rules make of it.",
    given={"rules": "current"}, states=frozenset({EventState.REJECTED, EventState.IGNORED}), many=REPLAY_CURRENT.many,
)  # fmt: skip
LEAVE_EVENT = Act(
    "leave", EVENT, "leave", LEAVE.deed, lambda acts, one, who, asked: acts.leave_event(one, who, asked["note"]),
    "Leave it",
    "It stays as it is, and is no longer counted among what needs a person. It can still be replayed.",
    LEFT,
    "Acknowledge a rejected event: it stays so, and is no longer counted as a need.",
    states=frozenset({EventState.REJECTED}), asks=("note",), many=LEAVE.many,
)  # fmt: skip
PAUSE = Act(
    "pause", PORTAL, "pause", phrase("pause"), lambda acts, one, who, asked: acts.pause(one, who, asked.get("until")),
    "Pause",
    "No delivery is sent to this portal until a person resumes it, or until the time that you choose: then a "
    "worker asks whether it is well, and goes on. Events are still taken; deliveries wait.",
    "%(name)s is paused until somebody resumes it.",
    "Let the deliveries of a portal wait.",
)  # fmt: skip
RESUME = Act(
    "resume", PORTAL, "resume", phrase("resume"), lambda acts, one, who, _asked: acts.resume(one, who),
    "Resume",
    "Deliveries are sent to this portal again at once, whatever has closed it. If the trouble is not mended, "
    "the next call closes it again.",
    "%(name)s is open now.",
    "Open a held or paused portal.",
)  # fmt: skip
ACCEPT = Act(
    "accept", PORTAL, "accept", phrase("accept the application"),
    lambda acts, one, who, asked: acts.accept_application(one, who, asked["member_id"]),
    "Accept",
    "The relay calls this portal from now on. Its administrator has to open the application there once more.",
    "Accepted: an administrator of the portal has to open the application there once more.",
    "Accept the application of an unexpected portal.",
)  # fmt: skip
REFUSE = Act(
    "refuse", PORTAL, "refuse", phrase("refuse the application"),
    lambda acts, one, who, asked: acts.refuse_application(one, who, asked["member_id"]),
    "Refuse",
    "Whatever this portal posts is refused from now on, and nothing of it is kept.",
    "Refused: this portal cannot be connected as %(name)s.",
    "Refuse the application of an unexpected portal.",
    is_grave=True,
)  # fmt: skip
ACTS = (
    REPLAY, REPLAY_CURRENT, LEAVE, LEAVE_OVERDUE, SETTLE_STARTED, SETTLE_FIRED, SETTLE_AGAIN, GIVE_UP, CANCEL,
    TERMINATE, KILL, REPLAY_EVENT, LEAVE_EVENT, PAUSE, RESUME, ACCEPT, REFUSE,
)  # fmt: skip
"""Every act, in the order in which a page offers them."""
SETTLED_AS = {State.STARTED: SETTLE_STARTED, State.RETRYING: SETTLE_AGAIN, State.DEAD: GIVE_UP}
STATES_OF: Mapping[BulkAct, frozenset[State | EventState]] = {
    each: frozenset[State | EventState]().union(*(act.states for act in ACTS if act.many and act.many.act is each))
    for each in BulkAct
}
"""In which states something has to be for an order on many."""


def ordered(act: BulkAct, rules: str = "original") -> Act:
    """The act of an order on many. rules: of a replay."""
    fitting = [each for each in ACTS if each.many and each.many.act is act]
    return next((each for each in fitting if each.rules == rules), fitting[0])
