"""What senders left beside events: their probes, counted, and a secret that one gave at run time."""
