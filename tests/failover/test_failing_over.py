"""A primary is lost, cut off or stands still: what was acknowledged is there, and clients find the next one."""

import ssl
import threading
import time
from urllib.parse import urlsplit

import pytest
import trustme
from redis import Redis
from redis.exceptions import ConnectionError as NoConnectionError
from redis.exceptions import RedisError
from redis.sentinel import MasterNotFoundError

from relay.core.errors import RecordUnavailableError
from relay.store import Store
from relay.store.record.collector import Collector
from relay.store.record.record import Record
from relay.store.record.servers import Servers, TopologyCode
from relay.store.redis import connection as sentinels
from relay.store.redis.connection import Sentinels, connect
from tests.support.cluster import Cluster
from tests.support.making import make_entry
from tests.support.waiting import until


@pytest.fixture
def group():
    """A primary, a replica and three sentinels of this test's own."""
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def record(group):
    redis = connect(group.url)
    yield Record(redis, replicas=1)
    redis.close()


def is_taken(record, entry):
    try:
        Collector(record).record(entry)
    except RecordUnavailableError:
        return False
    return True


def test_after_the_death_of_the_primary_everything_acknowledged_is_there_and_more_is_taken(group, record):
    kept = [make_entry() for _ in range(50)]
    for entry in kept:
        Collector(record).record(entry)
    group.primary.kill()
    group.wait_for_failover()
    group.primary.start()
    until(lambda: is_taken(record, make_entry()), "events to be taken again", 60)

    assert len(record.events([entry.event.id for entry in kept])) == 50


def test_a_primary_that_is_cut_off_acknowledges_nothing(group, record):
    Collector(record).record(make_entry())
    group.cut_off(group.primary)

    refused = make_entry()
    assert not is_taken(record, refused)
    group.wait_for_failover()
    group.heal(group.primary)
    until(lambda: is_taken(record, make_entry()), "events to be taken again", 60)
    # What nobody was told of, nobody misses.
    assert record.events([refused.event.id]) == []


def test_who_waits_for_a_job_at_a_primary_that_is_cut_off_is_brought_to_the_next_one(group, monkeypatch):
    monkeypatch.setattr(sentinels, "LOOK_S", 0.1)
    store, waiting, stop = Store.open(group.url, 1), connect(group.url, blocking=True), threading.Event()
    ended = []

    def wait():
        try:
            waiting.execute_command("BLPOP", "nothing", 60)
        except NoConnectionError as error:
            ended.append(error)

    store.record.is_writable()
    threads = [threading.Thread(target=wait), threading.Thread(target=store.follow_primary, args=(stop, waiting))]
    for thread in threads:
        thread.start()
    try:
        group.cut_off(group.primary)
        group.wait_for_failover()
        # redis-py tries once more by itself, and so waits at the new one; that is where it is to be found.
        promoted = group.replicas[0].redis
        until(lambda: [one for one in promoted.client_list() if one["cmd"] == "blpop"] or ended, "it to have moved", 30)
    finally:
        stop.set()
        waiting.connection_pool.disconnect()
        store.close()
        for thread in threads:
            thread.join(10)


class Saying:
    """A sentinel that was asked and says this, or is away."""

    def __init__(self, address=None, epoch=0):
        self.state = address and {
            "ip": address,
            "port": 1,
            "config-epoch": epoch,
            "is_master": True,
            "is_sdown": False,
            "is_odown": False,
            "num-other-sentinels": 2,
        }

    def sentinel_masters(self):
        if self.state is None:
            raise NoConnectionError
        return {"main": self.state}


@pytest.mark.parametrize(
    ("sayings", "primary"),
    [
        ([Saying("old", 1), Saying("new", 2), Saying("new", 2)], "new"),
        ([Saying("new", 2), Saying("old", 1), Saying("new", 2)], "new"),
        ([Saying(), Saying("old", 1), Saying("new", 2)], "new"),
        ([Saying(), Saying(), Saying("only", 1)], "only"),
    ],
)
def test_a_sentinel_that_was_cut_off_with_the_old_primary_is_not_believed_against_another(sayings, primary):
    asked = Sentinels([])
    asked.sentinels = sayings

    assert asked.discover_master("main") == (primary, 1)


def test_without_any_sentinel_there_is_no_primary():
    asked = Sentinels([])
    asked.sentinels = [Saying(), Saying()]

    with pytest.raises(MasterNotFoundError):
        asked.discover_master("main")


def test_passwords_and_tls_are_spoken_to_sentinels_servers_and_replicas(tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    with Cluster(password="a-password") as cluster:
        url = cluster.behind_tls(tls) + f"&ssl_ca_certs={tmp_path / 'ca.pem'}"
        assert urlsplit(url).scheme == "rediss+sentinel"
        redis = connect(url)
        Collector(Record(redis, replicas=1)).record(make_entry())
        unreachable = [one for one in Servers(redis, 1).look() if one.code is TopologyCode.UNREACHABLE]
        redis.close()
        stranger = Redis(port=cluster.sentinels[0].own_port)
        with pytest.raises(RedisError, match=r"HELLO|Authentication"):
            stranger.ping()
        stranger.close()

    assert unreachable == []


def test_where_there_are_no_sentinels_nobody_is_asked_and_no_time_is_spent(valkey):
    store, stop, spent = Store.open(valkey.url), threading.Event(), []

    def follow():
        before = time.thread_time()
        store.follow_primary(stop)
        spent.append(time.thread_time() - before)

    thread = threading.Thread(target=follow)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive(), "it lasts until it is told to stop: what ends is started again at once"
    stop.set()
    thread.join(5)
    store.close()

    assert spent[0] < 0.1
