"""What an event means: rules that pick values out of it, check them, and fill a call with them.

It may not know senders, the record or Flask: a plain context comes in, a Call or errors by field come out.
"""

from relay.rules.book import Rule, RuleBook, load_rules

__all__ = ["Rule", "RuleBook", "load_rules"]
