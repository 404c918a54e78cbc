"""That all senders would count as one address does not go unsaid."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from relay.configuration.settings import Settings
from relay.runtime.serve import warn_of_proxies


def said(tmp_path, host, proxies="", public_url=""):
    environ = {"REDIS_URL": "unix:///s", "RELAY_CONFIG": str(tmp_path), "RELAY_HOST": host}
    environ["RELAY_PUBLIC_URL"] = public_url
    with capture_logs() as lines:
        warn_of_proxies(Settings.from_environment(environ | {"RELAY_TRUSTED_PROXIES": proxies}))
    return lines


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "relay.example.com"])
def test_behind_a_network_without_a_trusted_proxy_it_is_said_once_and_plainly(tmp_path, host):
    (line,) = said(tmp_path, host)

    assert (line["log_level"], line["event"], line["host"]) == ("warning", "proxies.none_trusted", host)
    assert "all senders have its address" in line["reason"]


def test_a_proxy_on_the_same_machine_is_thought_of(tmp_path):
    assert said(tmp_path, "127.0.0.1", public_url="https://relay.example.com")
    assert not said(tmp_path, "127.0.0.1", "127.0.0.1/32", public_url="https://relay.example.com")


@pytest.mark.parametrize(
    ("host", "proxies"),
    [("", ""), ("127.0.0.1", ""), ("::1", ""), ("localhost", ""), ("0.0.0.0", "172.16.0.0/12")],
)
def test_where_senders_cannot_be_one_address_nothing_is_said(tmp_path, host, proxies):
    assert said(tmp_path, host, proxies) == []
