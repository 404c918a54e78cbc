"""Acts of people and messages to them: audit log, bulk replays, sessions, wrong tries, alerts."""
