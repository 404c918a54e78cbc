"""The pace of a portal is one, whoever calls it."""

from __future__ import annotations

import threading

import pytest

from relay.core.errors import RecordUnavailableError
from relay.store.portals.portal import PortalRecord
from relay.store.redis.connection import connect
from tests.delivering.contexts import make_portal
from workers.portal.client import SLOT_PATIENCE_MS, WITHOUT_LIMIT, Limiter

BUCKET = "relay:bucket:main"


def now_ms(redis):
    seconds, microseconds = redis.time()
    return seconds * 1000 + microseconds / 1000


def next_ms(redis):
    """When the slots that were given out are used up."""
    return float(redis.hget(BUCKET, "tat"))


def make_limiter(redis, rate, burst=1):
    """A limiter, and what it would have slept."""
    slept = []
    return Limiter(PortalRecord(redis, "main"), make_portal(rate_per_s=rate, burst=burst), slept.append), slept


def let_pass(redis, seconds):
    """Make it so much later for a pace that was slowed down."""
    redis.hset(BUCKET, "slowed_at", float(redis.hget(BUCKET, "slowed_at")) - seconds * 1000)


@pytest.mark.parametrize("workers", [2, 4])
def test_threads_share_one_pace(valkey, redis, workers):
    def take():
        own = connect(valkey.url)
        limiter, _ = make_limiter(own, 50.0)
        for _ in range(100 // workers):
            limiter.wait()
        own.close()

    before = now_ms(redis)
    threads = [threading.Thread(target=take) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # A hundred slots at fifty a second are two seconds of pace, however quickly they were asked for.
    took = now_ms(redis) - before
    assert 100 * 20 - 1 <= next_ms(redis) - before <= 100 * 20 + took


def test_a_burst_goes_at_once_and_then_the_pace_counts(redis):
    limiter, slept = make_limiter(redis, 0.05, burst=5)

    free = [limiter.wait() for _ in range(5)]

    assert (free, slept) == ([4, 3, 2, 1, 0], [])
    assert limiter.wait() == 0
    assert slept == [pytest.approx(20, abs=2)]


def test_what_is_not_used_is_not_saved_up_beyond_the_burst(redis):
    limiter, slept = make_limiter(redis, 0.05, burst=3)
    limiter.wait()
    redis.hset(BUCKET, "tat", now_ms(redis) - 1_000_000)

    assert [limiter.wait() for _ in range(3)] == [2, 1, 0]
    assert slept == []


def test_a_refusal_halves_the_pace_down_to_an_eighth(redis):
    limiter, _ = make_limiter(redis, 10.0)

    paces = []
    for _ in range(5):
        paces.append(limiter.slow_down())
        let_pass(redis, 1.01)

    assert paces == [pytest.approx(pace, abs=0.03) for pace in (0.5, 0.27, 0.15, 0.125, 0.125)]


def test_refusals_that_come_together_are_one(redis):
    limiter, _ = make_limiter(redis, 10.0)

    assert [limiter.slow_down() for _ in range(5)] == [0.5] * 5


def test_a_slowed_pace_has_no_burst_and_doubles_back_every_eight_seconds(redis):
    limiter, slept = make_limiter(redis, 10.0, burst=40)
    limiter.slow_down()
    let_pass(redis, 1.01)
    limiter.slow_down()

    gaps = []
    for _ in range(4):
        limiter.wait()
        before = next_ms(redis)
        limiter.wait()
        gaps.append(next_ms(redis) - before)
        let_pass(redis, 8)

    assert gaps == [pytest.approx(gap, rel=0.2) for gap in (400, 200, 100, 100)]
    assert slept[0] == pytest.approx(0.4, abs=0.2)


def test_a_recovered_pace_has_its_burst_again(redis):
    limiter, slept = make_limiter(redis, 10.0, burst=5)
    limiter.slow_down()
    let_pass(redis, 60)
    redis.hset(BUCKET, "tat", now_ms(redis))

    assert limiter.wait() >= 3
    limiter.wait()
    assert slept == []


def test_a_slot_that_is_too_far_away_is_not_reserved_but_asked_for_again(redis):
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        redis.delete(BUCKET)

    limiter = Limiter(PortalRecord(redis, "main"), make_portal(rate_per_s=1.0), sleep)
    reserved_until = now_ms(redis) + SLOT_PATIENCE_MS + 10_000
    redis.hset(BUCKET, "tat", reserved_until)

    limiter.wait()

    assert slept == [pytest.approx(SLOT_PATIENCE_MS / 1000 + 10, abs=3)]
    assert next_ms(redis) < reserved_until


def test_a_portal_of_ones_own_never_waits_and_is_never_slowed_down(redis):
    limiter, slept = make_limiter(redis, None)

    assert {limiter.wait() for _ in range(1000)} == {WITHOUT_LIMIT}
    assert (limiter.slow_down(), slept) == (1.0, [])
    assert not redis.exists(BUCKET)


def test_a_bucket_that_nobody_uses_is_forgotten(redis):
    limiter, _ = make_limiter(redis, 10.0)

    limiter.wait()
    assert 0 < redis.pttl(BUCKET) <= 3_600_000
    limiter.slow_down()
    assert 0 < redis.pttl(BUCKET) <= 3_600_000


def test_without_the_record_there_is_no_slot(own_valkey):
    limiter, _ = make_limiter(own_valkey.redis, 10.0)
    own_valkey.kill()

    with pytest.raises(RecordUnavailableError):
        limiter.wait()
