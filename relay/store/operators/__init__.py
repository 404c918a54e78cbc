"""What people did, and what they were told: audit log, bulk replays, sessions, wrong tries, alerts."""
