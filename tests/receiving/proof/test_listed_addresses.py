"""Sources that name the addresses of their sender: a condition beside the proof, behind trusted proxies too."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import ConfigError, NotVerifiedError
from relay.core.lifecycle import EventState
from relay.sources import Source, Webhook, load_sources
from relay.sources.addresses import is_listed, read_network
from relay.sources.proof.verifier import words_of
from relay.store.record.search import Filter, list_events
from tests.support.senders import JSON

NOW = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
KEY = "the-secret-of-the-test"
LISTED = ["185.71.76.0/27", "77.75.156.11", "2a02:5180::/32"]
TOKEN = {"kind": "token", "header": "X-Token"}
PROBE = {"when": "query.ping", "open": True, "answer": {"body": "pong"}}


def source_of(folder, **entry) -> Source:
    path = folder / "sources.yaml"
    made = {"verify": TOKEN, "secrets": ["SECRET"], "addresses": LISTED, **entry}
    path.write_text(yaml.safe_dump({"sources": {"one": made}}), "utf-8")
    return load_sources(path, {"SECRET": KEY})["one"]


def sent(address: str, token: str = KEY, **headers: str) -> Webhook:
    return Webhook(headers={"X-Token": token, **headers}, body=b"{}", remote_address=address)


def reason(source: Source, webhook: Webhook) -> str:
    with pytest.raises(NotVerifiedError) as caught:
        source.verify(webhook, NOW)
    return caught.value.reason


@pytest.mark.parametrize(
    "address", ["185.71.76.0", "185.71.76.31", "77.75.156.11", "2a02:5180::1", "::ffff:77.75.156.11"]
)
def test_the_right_proof_from_a_listed_address_is_believed(tmp_path, address):
    source = source_of(tmp_path)

    assert source.verify(sent(address), NOW)
    assert reason(source, sent(address, "wrong")) == "token_mismatch"


@pytest.mark.parametrize(
    "address",
    ["185.71.76.32", "77.75.156.12", "2a02:5181::1", "127.0.0.1", "::1", "", "unix:", "77.75.156.11, 1.1.1.1"],
)
def test_the_right_proof_from_another_address_is_refused(tmp_path, address):
    assert reason(source_of(tmp_path), sent(address)) == "address_unlisted"


def test_the_addresses_alone_can_be_the_proof_and_are_told(tmp_path):
    source = source_of(tmp_path, verify={"kind": "none"}, secrets=None)

    assert source.verify(sent("77.75.156.11", ""), NOW)
    assert reason(source, sent("77.75.156.12", "")) == "address_unlisted"
    assert words_of(source.verifier, source.addresses) == (
        "none: anybody may send, from 185.71.76.0/27, 77.75.156.11/32, 2a02:5180::/32"
    )


MISSES = {
    "a listed address in a header": ("93.184.216.34", {"X-Forwarded-For": "1.1.1.1, 77.75.156.11"}, True),
    "a private address": ("10.0.0.7", {}, True),
    "a socket without an address": ("", {}, True),
    "another address": ("93.184.216.34", {"X-Forwarded-For": "77.75.156.11, 1.1.1.1"}, False),
}


@pytest.mark.parametrize(("address", "headers", "is_proxy"), MISSES.values(), ids=MISSES)
def test_a_proxy_that_hides_the_address_is_told(tmp_path, address, headers, is_proxy):
    source, webhook = source_of(tmp_path), sent(address, **headers)

    assert reason(source, webhook) == "address_unlisted"
    near = source.near_miss(webhook, "address_unlisted", NOW)
    assert (near == "it seems to come from a proxy that RELAY_TRUSTED_PROXIES does not name") == is_proxy
    assert near is None or "77.75" not in near


@pytest.mark.parametrize(
    "addresses",
    [[], "77.75.156.11", ["77.75.156"], ["185.71.76.1/27"], ["185.71.76.0/33"], [7], ["10.0.0.0/255.0.0.0"], ["host"]],
    ids=str,
)
def test_what_is_no_address_or_network_is_a_mistake(tmp_path, addresses):
    with pytest.raises(ConfigError, match="expected a list of addresses and networks such as"):
        source_of(tmp_path, addresses=addresses)


@given(st.ip_addresses(network="185.71.76.0/24"), st.sampled_from(["{}", "::ffff:{}"]))
def test_an_address_is_listed_exactly_if_it_is_in_a_network(address, written):
    networks = [read_network(one) for one in LISTED]

    assert is_listed(written.format(address), networks) == (int(address) % 256 < 32)


@given(st.text("0123456789abcdef.:%/ ,x", max_size=40) | st.text(max_size=10))
def test_whatever_a_proxy_calls_an_address_is_none_of_the_networks(text):
    assert not is_listed(text, [read_network("198.51.100.0/24"), read_network("2001:db8:7::/48")])


@pytest.fixture
def client(relay):
    entry = {"verify": TOKEN, "secrets": ["SECRET"], "addresses": LISTED, "probes": [PROBE]}
    return relay({"one": entry}, [], {"SECRET": KEY}, trusted_proxies=("10.0.0.0/8",))


def post(client, peer: str, query: str = "", **headers: str):
    given = {"Content-Type": JSON, "X-Token": KEY, **headers}
    return client.post(f"/hooks/one{query}", data=b"{}", headers=given, environ_base={"REMOTE_ADDR": peer})


def test_the_address_is_that_of_the_peer_or_the_one_that_a_trusted_proxy_names(client, record):
    listed = {"X-Forwarded-For": "77.75.156.11"}

    assert post(client, "77.75.156.11").status_code == 200
    assert post(client, "10.0.0.1", **listed).status_code == 200
    assert post(client, "93.184.216.34", **listed).status_code == 401
    assert post(client, "10.0.0.1", **{"X-Forwarded-For": "77.75.156.11, 93.184.216.34"}).status_code == 401
    assert post(client, "10.0.0.1").status_code == 401

    rows = list_events(record, Filter()).rows
    refused = [row.event for row in rows if row.event.state is EventState.REFUSED]
    assert [one.reason for one in refused] == ["address_unlisted"] * 3


def test_an_open_probe_from_another_address_is_not_answered(client):
    assert post(client, "77.75.156.11", "?ping=1").data == b"pong"
    assert post(client, "93.184.216.34", "?ping=1").status_code == 401
