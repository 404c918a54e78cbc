"""Python runs this first, where this folder is on PYTHONPATH (tests/support/shifted.py)."""

import os

from tests.support.shifted import shift

if ahead := os.environ.get("SHIFTED_BY"):
    shift(ahead)
