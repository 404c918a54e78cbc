"""Delivery: a worker process, one delivery from claim to settlement, and what to do about uncertain ones."""
