"""How many requests of a source are in work at the same time: bounded over all processes, and never for ever."""

from __future__ import annotations

import contextlib

import pytest

from relay.core.errors import LimitedError, RecordUnavailableError
from relay.store import senders
from relay.store.redis import keys
from relay.store.redis.connection import connect
from relay.store.senders import Slots
from tests.support.waiting import until


@pytest.fixture
def two(valkey):
    """As two processes have them."""
    connections = [connect(valkey.url) for _ in range(2)]
    yield [Slots(one) for one in connections]
    for one in connections:
        one.close()


def test_the_places_of_a_source_are_shared_by_all_processes(two):
    one, other = two
    with one.taken("website", 2), other.taken("website", 2):
        for full in two:
            with pytest.raises(LimitedError) as caught, full.taken("website", 2):
                pass
            assert caught.value.retry_after_s == 1

    with one.taken("website", 2), one.taken("website", 2):
        pass


def test_each_source_has_its_own(two):
    with two[0].taken("website", 1), two[1].taken("github", 1):
        pass


def test_a_place_is_given_back_whatever_happened_in_it(two, redis):
    with contextlib.suppress(ZeroDivisionError), two[0].taken("website", 1):
        raise ZeroDivisionError

    assert redis.zcard(keys.AT_WORK + "website") == 0


def test_a_place_of_a_process_that_died_in_it_is_free_again_by_itself(two, redis, monkeypatch):
    monkeypatch.setattr(senders, "LAPSES_MS", 200)
    dead = two[0].taken("website", 1)
    dead.__enter__()

    def is_free():
        with contextlib.suppress(LimitedError), two[1].taken("website", 1):
            return True
        return False

    assert not is_free()
    until(is_free, "the place to lapse")
    until(lambda: not redis.exists(keys.AT_WORK + "website"), "nothing to be left of it")


def test_where_a_source_has_no_such_limit_the_record_is_not_asked(valkey):
    valkey.make_read_only()
    connection = connect(valkey.url)
    try:
        with Slots(connection).taken("website", None):
            pass
    finally:
        connection.close()


def test_while_nothing_can_be_written_nobody_gets_a_place(two, valkey):
    valkey.make_read_only()

    with pytest.raises(RecordUnavailableError), two[0].taken("website", 1):
        pass


def test_what_was_done_in_a_place_stands_although_it_cannot_be_given_back(two, valkey):
    with two[0].taken("website", 1):
        valkey.make_read_only()
