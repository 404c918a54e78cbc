"""Writes the corpus anew: `python make.py [PROFILE...]`. README.md says what has to be installed first."""

from __future__ import annotations

import importlib
import sys

import time_machine
from kit import AT

MODULES = (
    "forms", "shops", "payments", "desks", "talk", "meta", "mail", "crm", "clouds", "russia", "leads", "more", "calls",
    "chats",
)  # fmt: skip


def main(wanted: list[str]) -> None:
    """Write every sender, or those that are named."""
    with time_machine.travel(AT, tick=False):
        for module in MODULES:
            for sender in importlib.import_module(module).senders():
                if not wanted or sender.profile in wanted:
                    sender.write()
                    print(sender.profile, *sender.requests)


if __name__ == "__main__":
    main(sys.argv[1:])
