"""A woken worker: a slot of the pace, a claim, the call, a verdict, what comes next; and uncertain ones looked into."""
