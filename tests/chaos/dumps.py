"""Writes what each version leaves of a record: the dumps that tests/surviving/test_upgrading.py serves.

    PYTHONPATH=. .venv/bin/python tests/chaos/dumps.py [NAME...]

Of this version the dump is named by its number, of an earlier one by its commit, which needs the repository's history.
A dump is made once, when a version gets its number, and is never written anew: it shows what that version wrote.
"""

from __future__ import annotations

import gzip
import sys
from contextlib import nullcontext
from pathlib import Path

import relay
from relay.core.lifecycle import State
from relay.store.redis import keys
from relay.store.redis.connection import connect
from tests.chaos.stage import REPOSITORY, Stage, until
from tests.chaos.upgraded import THIS, VERSIONS, Site, Version, post, version

SAMPLES = REPOSITORY / "tests" / "surviving" / "samples"
OF_LAYOUT_2 = "8cc9db2"
NAMES = (*VERSIONS, OF_LAYOUT_2, relay.__version__)
STARTED, WAITING = 10, 20
"""So many of its deliveries have started, and so many still wait."""


def write(old: Version, path: Path) -> None:
    """Let web and workers of a version deliver some events and take others, kill them, and keep the record."""
    with Stage() as stage:
        site, redis = Site(stage, old), connect(stage.url)
        try:
            web, url = site.start(old, "relay", "serve")
            workers, _ = site.start(old, "workers")
            post(url, 1000, STARTED)
            until(lambda: len(site.sandbox.workflows()) == STARTED, "the workers deliver")
            under_way = [keys.DELIVERIES_BY_STATE + state for state in (State.PENDING, State.SENDING)]
            until(lambda: not any(redis.zcard(key) for key in under_way), "the record says so")
            site.kill(workers)
            post(url, 2000, WAITING)
            site.kill(web)
            redis.save()
            folder = Path(str(redis.config_get("dir")["dir"]))
            path.write_bytes(gzip.compress((folder / "dump.rdb").read_bytes(), mtime=0))
        finally:
            site.close()


if __name__ == "__main__":
    for name in sys.argv[1:] or NAMES:
        with nullcontext(THIS) if name == relay.__version__ else version(name) as made:
            write(made, SAMPLES / f"{name}.rdb.gz")
        print(name, (SAMPLES / f"{name}.rdb.gz").stat().st_size, "bytes", flush=True)
