"""The use cases: read the configuration, take an event in, replay, settle, pause, preview, draft, erase.

Each act of a person is audited. This room knows neither Flask nor the keys of Redis.
"""
