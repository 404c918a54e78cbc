"""The record in Redis. Only this room knows a key, a script or a connection; others use Store."""

from relay.store.store import Store

__all__ = ["Store"]
