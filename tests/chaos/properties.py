"""The properties of what senders send, with many more examples than `make test` has time for.

The seed stands in the row: `--hypothesis-profile=long --hypothesis-seed=N` tries the same examples again.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator

PROPERTIES = (
    "tests/attacks/disclosure/test_tokens_on_record.py",
    "tests/receiving/bodies/test_many_events_in_one_request.py",
    "tests/mapping/test_drafting.py",
    "tests/mapping/test_rules.py",
    "tests/delivering/test_batch_calls.py",
)


def properties() -> Iterator[str]:
    """A row a file."""
    for file in PROPERTIES:
        seed = secrets.randbelow(2**32)
        options = ["-q", "-n0", "--no-header", "--hypothesis-profile=long", f"--hypothesis-seed={seed}"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, file], capture_output=True, text=True, check=False
        )
        if done.returncode:
            print(done.stdout, flush=True)
        yield f"properties  {file}  seed {seed}  {done.stdout.strip().splitlines()[-1]}"
