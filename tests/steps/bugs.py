"""Bugs that are put in on purpose, in the process under test only: each breaks a promise at one step, and is to be found."""

from __future__ import annotations

from collections.abc import Callable

BUGS: dict[str, Callable[[], None]] = {}
