"""Everything the pretend portal remembers, behind one lock.

May not read HTTP and may not wait: the holder of the lock gives it back at once. Time comes from an injected clock
(seconds since 1970) and passes through an injected sleep, so that a test need not wait. The log of requests holds no
secret and no parameter.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from urllib.parse import urlsplit

import gevent

from relay.sandbox.applications.registry import Applications
from relay.sandbox.applications.tokens import TokenServer
from relay.sandbox.callers import PEOPLE, User
from relay.sandbox.crm.items import KNOWN_CLIENTS, Items, seed_items
from relay.sandbox.faults import Fault, Faults, faults_from_json
from relay.sandbox.limits import OperatingLimiter, RequestBuckets
from relay.sandbox.settings import Settings
from relay.sandbox.workflows import Template, Workflow, template_from_json, ten_templates


@dataclass(frozen=True, slots=True)
class Message:
    """A chat message. at: UTC; by: the owner of the credential."""

    id: int
    at: str
    by: int
    dialog_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Fired:
    """One call of crm.automation.trigger. at: UTC; by: the owner of the credential; target: such as LEAD_25."""

    at: str
    by: int
    target: str
    code: str


@dataclass(slots=True)
class Comment:
    """A line in the timeline of a document, or a notification.

    at: UTC. kind: "log", "comment" or "notification". by: the owner of the credential; application: its client_id, None
    for a webhook. document: such as DEAL_12; user_id: whom a notification is for. sender: by whom its tag is meant.
    replaced: whether a later notification with its tag has taken its place.
    """

    id: int
    at: str
    kind: str
    by: int
    application: str | None
    document: str | None
    title: str
    text: str
    icon: str = ""
    user_id: int | None = None
    tag: str = ""
    sender: str | None = None
    replaced: bool = False


KEPT = 10_000
"""Older entries are dropped; the counters go on."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One REST request.

    at: ISO 8601, UTC. user: the caller's number, None where nobody was recognised.
    status: None where the connection was closed without an answer. code: the error code, None for a success.
    batch_size: commands of a batch, None for anything else. fault: the kind that hit it.
    """

    at: str
    method: str
    user: int | None
    status: int | None
    code: str | None
    batch_size: int | None
    fault: str | None


class RequestLog:
    """The newest entries, and counters since the reset."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=KEPT)
        self._total = 0
        self._commands = 0
        self._methods: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._codes: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()

    def add(self, entry: Entry) -> None:
        """Remember a request."""
        self._entries.append(entry)
        self._total += 1
        self._commands += entry.batch_size or 0
        self._methods[entry.method] += 1
        self._statuses["none" if entry.status is None else str(entry.status)] += 1
        if entry.code is not None:
            self._codes[entry.code] += 1
        if entry.fault is not None:
            self._faults[entry.fault] += 1

    def counters(self) -> dict[str, object]:
        """Requests in total, commands inside batches, and requests by method, status, error code and fault."""
        return {
            "total": self._total,
            "batch_commands": self._commands,
            "by_method": dict(self._methods),
            "by_status": dict(self._statuses),
            "by_code": dict(self._codes),
            "by_fault": dict(self._faults),
        }

    def to_json(self) -> dict[str, object]:
        """The counters and the entries, newest first."""
        return {"counters": self.counters(), "requests": [asdict(entry) for entry in reversed(self._entries)]}


SECRET = "sandbox"  # noqa: S105 - the pretend portal's secret is public


class Portal:
    """The state.

    settings: initial values over the defaults, see Settings; UsageError for an unknown or unusable one.
    clock: seconds since 1970. sleep: waits that many seconds; the default lets other requests go on meanwhile.
    seed: of the random numbers (faults by share, workflow ids); None for real chance.
    `lock` is held for each single read or change; it may be taken again by its holder.
    listens_at: the address of the server, without a slash at the end; whoever starts one sets it.
    """

    def __init__(
        self,
        settings: Mapping[str, object] | None = None,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = gevent.sleep,
        seed: int | None = None,
    ) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.sleep = sleep
        self.listens_at = "http://portal.invalid"
        self._initial = Settings().changed(settings or {})
        self._chance = random.Random(seed)  # noqa: S311 - chance for faults, not for secrets
        self._begin()

    def _begin(self) -> None:
        self.settings = self._initial
        self.templates: dict[int, Template] = ten_templates()
        self.workflows: list[Workflow] = []
        self.messages: list[Message] = []
        self.comments: list[Comment] = []
        self.items = Items()
        seed_items(self.items, self.settings, self.clock(), KNOWN_CLIENTS)
        self.triggers: list[Fired] = []
        self.states: dict[str, Workflow] = {}
        self.faults = Faults(self._chance)
        self.log = RequestLog()
        self.buckets = RequestBuckets()
        self.limiter = OperatingLimiter()
        self.applications = Applications(self.settings)
        self.tokens = TokenServer(self.clock, self.applications, self.settings.token_lifetime_s)

    def reset(self) -> None:
        """Back to how it was made: settings, templates and tokens as at first, nothing started, no fault."""
        with self.lock:
            self._begin()

    def configure(self, **changes: object) -> Settings:
        """Change settings; UsageError for an unknown name or an unusable value, and then nothing changes."""
        with self.lock:
            self.settings = self.settings.changed(changes)
            return self.settings

    def add_faults(self, orders: object) -> list[Fault]:
        """Put faults in force: a list of orders or one, as POST /sandbox/faults takes them. UsageError if unusable."""
        faults = faults_from_json(orders)
        with self.lock:
            self.faults.add([replace(fault) for fault in faults])
        return faults

    def add_templates(self, given: object) -> list[Template]:
        """Add templates, or replace those of the same number: a list or one object. UsageError if unusable."""
        with self.lock:
            added: dict[int, Template] = {}
            for item in given if isinstance(given, list) else [given]:
                template = template_from_json(item, max([*self.templates, *added]) + 1)
                added[template.id] = template
            self.templates |= added
            return list(added.values())

    def add_documents(self, given: object) -> list[dict[str, int]]:
        """Add CRM items as if they had always been there; see `seed_items`. UsageError if unusable."""
        with self.lock:
            return seed_items(self.items, self.settings, self.clock(), given)

    @property
    def domain(self) -> str:
        """The portal's host, with its port where it has an unusual one."""
        return self.settings.domain or urlsplit(self.listens_at).netloc

    @property
    def url(self) -> str:
        """The portal's address, without a slash at the end."""
        return f"{urlsplit(self.listens_at).scheme}://{self.domain}"

    @property
    def server_endpoint(self) -> str:
        """The authorisation server as tokens and forms name it. It keeps its address where the portal is renamed."""
        return f"{self.listens_at}/oauth/rest/"

    def person(self, number: int) -> User | None:
        """The user of this number, as the settings have him."""
        user = PEOPLE.get(number)
        if user is None:
            return None
        is_active = user.is_active and number not in self.settings.dismissed
        return replace(user, is_admin=number in self.settings.administrators, is_active=is_active)

    def people(self) -> list[User]:
        """Everybody with an account, by number."""
        return [user for number in PEOPLE if (user := self.person(number))]

    def new_workflow_id(self) -> str:
        """An id in the native shape, PHP's uniqid('', true): 13 hexadecimal digits of time, then d.dddddddd."""
        microseconds = int(self.clock() * 1_000_000)
        while True:
            tail = self._chance.randrange(10**9)
            stamp = f"{microseconds // 1_000_000:08x}{microseconds % 1_000_000:05x}"
            name = f"{stamp}{tail // 10**8}.{tail % 10**8:08d}"
            if name not in self.states:
                return name

    def remember(self, workflow: Workflow) -> None:
        """Record a start; its id is taken from now on."""
        self.workflows.append(workflow)
        self.states[workflow.id] = workflow

    def living(self) -> Iterable[Workflow]:
        """Workflows between the end of their first leg and their end."""
        now = self.clock()
        return [workflow for workflow in self.states.values() if workflow.state(now) == "running"]

    def record(self, entry: Entry) -> None:
        """Write into the request log."""
        with self.lock:
            self.log.add(entry)

    def started(self) -> list[dict[str, object]]:
        """Every workflow that was started, newest first, as GET /sandbox/workflows shows it."""
        with self.lock:
            now = self.clock()
            return [workflow.to_json(now) for workflow in reversed(self.workflows)]
