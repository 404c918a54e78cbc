"""What a person can do to a delivery, an event or a portal. Each act compares and swaps, and is in the audit log.

For the dashboard, the API and the terminal alike. It decides nothing about who may: that is the business of the doors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from relay.core.errors import IllegalTransitionError, LostRace, NotFoundError, RelayError, WorkflowTaken
from relay.core.events import Delivery, finish_step
from relay.core.faults import fault
from relay.core.ids import utc_now
from relay.core.lifecycle import State, advance
from relay.core.phrases import Moment, phrase
from relay.core.plan import How
from relay.operations.replay import Replayer
from relay.store import Store
from relay.store.operators.audit_log import Act
from relay.store.portals.questions import METHODS, Asked, Question
from relay.store.record.record import Record


class RefusedError(RelayError):
    """What was asked cannot be done now; the text says why."""


@dataclass(frozen=True, slots=True)
class OperatorActs:
    """The acts. who, in each: the role or name for the audit log.

    is_logged: each act is an entry there; else whoever acts on many writes it once for all.
    """

    store: Store
    replayer: Replayer
    clock: Callable[[], datetime] = utc_now
    is_logged: bool = True

    @property
    def record(self) -> Record:
        """Events and deliveries."""
        return self.store.record

    def replay(self, wanted: str, who: str, *, current_rules: bool) -> list[Delivery]:
        """New deliveries for an old one, or for an event without any. Raises what Replayer.replay raises."""
        made = self.replayer.replay(wanted, current_rules=current_rules)
        names = [one.id for one in made]
        said = fault("made_by_current_rules" if current_rules else "made_by_original_rules", names=names)
        self._log(who, "replay", wanted, said=said)
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
        self._log(who, f"settle as {state}", delivery_id, note)
        return self.record.delivery(delivery_id)

    def cancel(self, delivery_id: str, who: str, note: str) -> Delivery:
        """Give up a delivery that still waits. Raises NotFoundError, RefusedError."""
        delivery = self.record.delivery(delivery_id)
        if delivery.state not in {State.PENDING, State.RETRYING}:
            raise RefusedError(fault("not_waiting", id=delivery_id, state=delivery.state))
        self._move(delivery, State.DEAD, "cancelled")
        self._log(who, "cancel", delivery_id, note)
        return self.record.delivery(delivery_id)

    def leave(self, delivery_id: str, who: str, note: str) -> Delivery:
        """Acknowledge a dead delivery, or one whose end is overdue: it stays as it is, and is no longer a need.

        Raises NotFoundError, RefusedError.
        """
        self.record.delivery(delivery_id)
        if not self.record.leave(delivery_id):
            raise RefusedError(fault("delivery_needs_nobody", id=delivery_id))
        self._log(who, "leave", delivery_id, note)
        return self.record.delivery(delivery_id)

    def leave_event(self, event_id: str, who: str, note: str) -> None:
        """Acknowledge a rejected event: it stays so, and is no longer a need. Raises NotFoundError, RefusedError."""
        self.record.event(event_id)
        if not self.record.leave(event_id):
            raise RefusedError(fault("event_needs_nobody", id=event_id))
        self._log(who, "leave", event_id, note)

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
        self.store.portal(portal).gate.pause_by_person(self.clock(), until)
        self._log(who, "pause", portal, said=fault("paused_until", until=Moment(until)) if until else "")

    def resume(self, portal: str, who: str) -> None:
        """Open a portal, whatever closed it."""
        self.store.portal(portal).gate.resume(self.clock())
        self._log(who, "resume", portal)

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

    def ask_templates(self, portal: str, who: str) -> Question:
        """Have a worker list the templates of a portal, with their parameters; nothing is started."""
        question = self.store.questions.ask(portal, Asked.TEMPLATES, "", self.clock())
        self._log(who, "list templates", portal)
        return question

    def end_workflow(self, workflow_id: str, who: str, act: str) -> Question:
        """Ask the portal to terminate or kill a workflow that the relay has started. Raises RefusedError."""
        if act not in METHODS:
            raise RefusedError(phrase("expected one of %(names)s", names=", ".join(METHODS)))
        delivery_id = self.record.delivery_of_workflow(workflow_id)
        if delivery_id is None:
            raise RefusedError(phrase("the relay has started no such workflow"))
        portal = self.record.delivery(delivery_id).call.portal
        question = self.store.questions.ask(portal, Asked(act), workflow_id, self.clock())
        self._log(who, act, workflow_id, delivery_id)
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

    def _log(self, who: str, what: str, subject: str, note: str = "", *, said: str = "") -> None:
        if self.is_logged:
            self.store.operators.log(Act(self.clock(), who, what, subject, note, said))
