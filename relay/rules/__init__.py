"""Rules: they pick values out of an event, check them, and fill a call with them.

This room knows neither senders nor the record nor Flask: a plain context comes in, a Call or errors by field come out.
"""

from relay.rules.book import Rule, RuleBook, load_rules

__all__ = ["Rule", "RuleBook", "load_rules"]
