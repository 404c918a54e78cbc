"""RQ's names, as the record's scripts write them: the one link from the web process to the workers. No I/O."""
