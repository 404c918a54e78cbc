"""Texts that the portal writes in its own language. A client must not match them, so there are two languages.

The official wording of "script" is not public; both versions of it are made up.
"""

from __future__ import annotations

from collections.abc import Mapping

_TEXTS: Mapping[str, Mapping[str, str]] = {
    "crowd": {
        "en": "A document can be handled by {limit} processes at most.",
        "ru": "Документ может обрабатываться не более чем {limit} процессами.",
    },
    "not_running": {"en": "The business process is not found.", "ru": "Бизнес-процесс не найден."},
    "script": {"en": "A script template cannot be started.", "ru": "Нельзя запустить шаблон скрипта."},
}


def say(text: str, language: str) -> str:
    """The text in "en" or "ru"."""
    return _TEXTS[text][language]
