"""The server behind the record: connections, keys (drawn in keys.py), scripts, leases. For relay.store only."""
