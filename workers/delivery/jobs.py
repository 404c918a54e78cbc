"""What RQ may call, by name (relay/queue/jobs.py), and nothing else: whoever can write to Redis writes jobs too.

RQ imports whatever function a job names. A worker of ours looks its name up in the table of its jobs, and takes nothing
from a job but that name: no callback, no webhook, no argument.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.webhook import Webhook

from relay.queue.jobs import SERVE_JOB


class UnknownJobError(Exception):
    """A job that names a function which is none of ours. Its name is not repeated: anything may stand there."""


class OwnJob(Job):
    """A job that can run one of the functions that this process has given it."""

    table: ClassVar[dict[str, Callable[[], None]]] = {}

    @property
    def is_ours(self) -> bool:
        """Whether it names a function of ours. What a stranger has written may not even be a job."""
        try:
            return self.func_name in self.table
        except Exception:  # noqa: BLE001 - whatever is wrong with it
            return False

    @property
    def func(self) -> Callable[..., None]:
        """The function of ours that the job names. Raises UnknownJobError."""
        serve = self.table.get(self.func_name or "")
        if serve is None:
            raise UnknownJobError
        return lambda *_args, **_kwargs: serve()

    def restore(self, raw_data: dict[bytes, bytes]) -> Any:
        """Read the job as RQ does, without what would be imported or called beside the function.

        One that RQ cannot read, at which a worker would end, names no function.
        """
        try:
            restored = super().restore(raw_data)
        except NoSuchJobError:
            raise
        except Exception:  # noqa: BLE001 - whatever stands there
            restored = super().restore({b"data": b""})
        self._success_callback_name = self._failure_callback_name = self._stopped_callback_name = None
        self.webhooks: list[Webhook] = []
        return restored


def job_class(serve: Callable[[], None]) -> type[OwnJob]:
    """The class of jobs of one worker: all that they can do is begin to serve one of its portals."""
    return type("PortalJob", (OwnJob,), {"table": {SERVE_JOB: serve}})
