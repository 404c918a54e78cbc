"""Everything the pretend portal remembers, behind one lock.

May not read HTTP and may not wait: whoever holds the lock gives it back at once. Time comes from an injected clock
(seconds since 1970) and passes through an injected sleep, so that a test can do without waiting.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import gevent

from relay.sandbox.chats import Message
from relay.sandbox.crm.fired import Fired
from relay.sandbox.crm.items import Items
from relay.sandbox.crm.seeds import KNOWN_CLIENTS, seed_items
from relay.sandbox.fault_orders import faults_from_json
from relay.sandbox.faults import Fault, Faults
from relay.sandbox.limits import OperatingLimiter, RequestBuckets
from relay.sandbox.request_log import Entry, RequestLog
from relay.sandbox.settings import Settings
from relay.sandbox.templates import Template, template_from_json, ten_templates
from relay.sandbox.tokens import TokenServer
from relay.sandbox.workflows import Workflow

SECRET = "sandbox"  # noqa: S105 - the pretend portal's secret is public


class Portal:
    """The state.

    settings: initial values over the defaults, see Settings; UsageError for an unknown or unusable one.
    clock: seconds since 1970. sleep: waits that many seconds; the default lets other requests go on meanwhile.
    seed: of everything that is left to chance (faults by share, workflow ids); None for real chance.
    `lock` is held for each single read or change; it may be taken again by its holder.
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
        self._initial = Settings().changed(settings or {})
        self._chance = random.Random(seed)  # noqa: S311 - chance for faults, not for secrets
        self._begin()

    def _begin(self) -> None:
        self.settings = self._initial
        self.templates: dict[int, Template] = ten_templates()
        self.workflows: list[Workflow] = []
        self.messages: list[Message] = []
        self.items = Items()
        seed_items(self.items, self.settings, self.clock(), KNOWN_CLIENTS)
        self.triggers: list[Fired] = []
        self.states: dict[str, Workflow] = {}
        self.faults = Faults(self._chance)
        self.log = RequestLog()
        self.buckets = RequestBuckets()
        self.limiter = OperatingLimiter()
        self.tokens = TokenServer(self.clock, self.settings.token_lifetime_s)

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
        """Add CRM items as if they had always been there; see relay.sandbox.crm.seeds. UsageError if unusable."""
        with self.lock:
            return seed_items(self.items, self.settings, self.clock(), given)

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
