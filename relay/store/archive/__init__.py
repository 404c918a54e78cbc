"""What the record has forgotten, as files: one a day. Knows events and deliveries; opens no connection."""
