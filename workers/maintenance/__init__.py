"""What runs beside the workers: the clock that wakes them, the sweeper that finds what a dead one had claimed."""
