"""The record, in Redis: what was received, what was asked, what became of it.

`keys` draws every key, `scripts` calls the Lua files with types, `record` reads and writes, `collector` lets
concurrent requests share a round trip. Nothing else in the project names a Redis key of ours.
"""
