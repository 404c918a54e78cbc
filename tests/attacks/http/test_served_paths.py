"""No header moves a path, and only a trusted proxy says where a request came from.

On `python -m relay serve`, with raw requests: the server has its own reading of some headers, before ours.
"""

from __future__ import annotations

import pytest
import requests

from tests.support.folders import WEB_SECRETS

TRUSTED = "127.0.0.2"


@pytest.fixture(scope="module")
def served(start_web, config):
    return start_web(config, RELAY_TRUSTED_PROXIES=TRUSTED, FORWARDED_ALLOW_IPS="*")


@pytest.fixture
def sender():
    """Asks from an address of this machine."""

    def ask(peer):
        session = requests.Session()
        adapter = requests.adapters.HTTPAdapter()
        adapter.init_poolmanager(1, 1, source_address=(peer, 0))
        session.mount("http://", adapter)
        opened.append(session)
        return session

    opened: list[requests.Session] = []
    yield ask
    for session in opened:
        session.close()


@pytest.mark.parametrize("header", ["SCRIPT_NAME", "Script-Name", "PATH_INFO"])
@pytest.mark.parametrize("peer", ["127.0.0.1", TRUSTED])
def test_a_header_does_not_move_the_dashboard_to_another_path(served, sender, header, peer):
    value = "/login" if header == "PATH_INFO" else "/hooks"

    assert sender(peer).get(f"{served.url}/hooks/login", headers={header: value}, timeout=10).status_code == 404


FORWARDED = {"X-Forwarded-Host": "relay.test", "X-Forwarded-Proto": "https"}
LOGIN = {"password": WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"]}


def test_an_address_that_is_not_trusted_does_not_say_where_a_form_came_from(served, sender):
    headers = FORWARDED | {"Origin": "https://relay.test"}

    assert sender("127.0.0.1").post(f"{served.url}/login", LOGIN, headers=headers, timeout=10).status_code == 403


def test_a_trusted_proxy_still_says_which_host_and_scheme_the_sender_used(served, sender):
    proxy, headers = sender(TRUSTED), FORWARDED | {"Origin": "https://relay.test"}

    answer = proxy.post(f"{served.url}/login", LOGIN, headers=headers, timeout=10, allow_redirects=False)
    assert answer.status_code == 303
    page = proxy.get(f"{served.url}/sources", headers=FORWARDED, timeout=10)

    assert "https://relay.test/hooks/website" in page.text
