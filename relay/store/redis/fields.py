"""Fields of a small hash that have to be written on a full server, too: what finishing what was taken depends on."""

from __future__ import annotations

from collections.abc import Mapping

from redis import Redis

from relay.store.redis.guard import guarded
from relay.store.redis.scripts import Argument, Script, ScriptCall, run

FIELDS = Script.load("fields")


@guarded
def write_fields(redis: Redis, key: str, fields: Mapping[str, str], replicas: int = 0) -> None:
    """Write these fields beside the others, and wait for so many replicas. Raises RecordUnavailableError."""
    argv: list[Argument] = [word for field in fields.items() for word in field]
    run(redis, ScriptCall(FIELDS, [key], argv), replicas)
