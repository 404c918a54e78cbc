"""Events and deliveries: writing, reading, searching, adding up."""
