"""Senders: sources.yaml, profiles, proof of origin, and how a body is read.

This room knows neither rules nor the record nor Flask: a `Webhook` comes in, a `Verified` and a plain body come out.
"""

from relay.sources.events import Kept, build_context
from relay.sources.loading import load_sources
from relay.sources.source import Source, Verified
from relay.sources.visitors import Form
from relay.sources.webhook import Headers, Webhook

__all__ = ["Form", "Headers", "Kept", "Source", "Verified", "Webhook", "build_context", "load_sources"]
