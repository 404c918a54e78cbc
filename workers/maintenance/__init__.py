"""Threads beside the workers: clock, sweeper, packer, retention, and the watch on the record's servers."""
