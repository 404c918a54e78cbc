"""Alerts: which troubles are news for a channel, and how a message is sent."""
