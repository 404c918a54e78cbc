"""What can be done, a module for each: read the configuration, take an event in, replay, settle, pause, preview, erase.

Each act of a person is audited. It knows neither Flask nor a key of Redis.
"""
