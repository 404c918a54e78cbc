"""Structured logs: one wide line per received event and per attempt. This module only sets logging up.

Lines go to stderr, as JSON unless stderr is a terminal. Allowed in logs: ids, names from the configuration, states,
verdicts, codes, durations. Not allowed: a body, a header, a parameter, an address with a credential in it.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import MutableMapping, Sequence
from typing import Any

import structlog

Logger = structlog.typing.FilteringBoundLogger


def configure(process: str, further: Sequence[structlog.typing.Processor] = ()) -> None:
    """Set up this process's log: ours, and warnings and errors of libraries.

    Call it once, before anything is logged: a logger keeps the setup of its first line. further: what else gets each
    line.
    """

    def name_process(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        # Not a context variable: other greenlets and threads would not see it.
        line["process"] = process
        return line

    shared: list[Any] = [
        name_process,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *further,
    ]
    people = sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer() if people else _as_json
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)


def _as_json(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> str:
    return _encode(line)


# Made once: structlog's own renderer makes a new encoder for each line.
_encode = json.JSONEncoder(default=repr).encode


def log_to_stderr() -> None:
    """Keep log lines off stdout, which has the answer of a command. A process that stays calls `configure` later."""
    # Looked up at each line, for stderr may be another by then.
    structlog.configure(logger_factory=lambda *_: structlog.WriteLogger(sys.stderr))


def places_of(error: BaseException) -> list[str]:
    """The places where an error came from, outermost first. Its text is left out: it may contain what was sent."""
    return [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]


def get_logger() -> Logger:
    """The logger of this process."""
    logger: Logger = structlog.get_logger()
    return logger
