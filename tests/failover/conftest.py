"""A primary with a replica for all tests of this folder that leave both alive."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from relay.store.record.record import Record
from relay.store.redis.connection import connect
from tests.support.cluster import Cluster


@pytest.fixture(scope="module")
def shared_pair() -> Iterator[Cluster]:
    with Cluster(sentinels=0) as cluster:
        yield cluster


@pytest.fixture
def pair(shared_pair: Cluster) -> Iterator[Cluster]:
    """Both empty, and both awake, before and after."""
    shared_pair.primary.redis.flushall()
    shared_pair.wait_until_attached()
    yield shared_pair
    shared_pair.replicas[0].thaw()


@pytest.fixture
def pair_url(pair: Cluster) -> str:
    return f"redis://127.0.0.1:{pair.primary.own_port}/0"


@pytest.fixture
def record(pair_url: str) -> Iterator[Record]:
    """One that waits for the replica."""
    redis = connect(pair_url)
    yield Record(redis, replicas=1)
    redis.close()
