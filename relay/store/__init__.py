"""The record in Redis, and the only room that knows a key, a script or a connection. Others ask Store."""

from relay.store.store import Store

__all__ = ["Store"]
