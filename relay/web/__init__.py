"""The web process: the door for senders and the dashboard for people. The only place (with sandbox/) for Flask."""

from relay.web.app import create_app

__all__ = ["create_app"]
