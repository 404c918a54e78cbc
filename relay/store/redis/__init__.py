"""The server behind the record: connection, keys (keys.py draws them), scripts, leases. Only relay.store looks in."""
