"""Events and deliveries: written, read, searched, counted."""
