"""An inbox takes anything that has its token, says which sender it looks like, and how to give that one a source."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.cli.main import main
from relay.core.errors import UnreadableError, UnsupportedTypeError
from relay.core.lifecycle import EventState
from relay.sources.bodies import BodyReader
from relay.sources.recognition import UNKNOWN, all_fingerprints, recognise
from relay.store.redis import keys
from tests.support.folders import CONFIG, WEB_SECRETS
from tests.support.golden import Golden, golden, goldens

TOKEN = "token-of-the-inbox"
INBOX = {"profile": "inbox", "secrets": ["SOURCE_INBOX_TOKEN"]}
ALL = [one for one in goldens() if one.is_event and one.expected["events"] and one.profile != "inbox"]
WITHOUT_A_SIGN = {
    # People name these fields themselves.
    "elementor/simple.http", "gravity-forms/selected-fields.http", "gravity-forms/selected-fields-of-another.http",
    "html-form/windows-1251.http", "yandex-forms/own-body.http", "yandex-forms/another-form.http",
    "retailcrm/own-body.http", "bitrix24-form/several-answers.http", "getcourse/user.http",
    "getcourse/without-number.http",
    "composed/rows-multipart.http", "composed/twig-json.http",
    "composed/full-contact-data.http", "composed/bare-variables.http", "composed/get.http",
    # An event of another kind than the sample, with few of its fields.
    "binotel/transferred-901.http", "binotel/transferred-902.http", "edna/delivered.http", "edna/read.http",
    "ringostat/after-rating.http",
    # One field of base64, and one that many have.
    "liqpay/success.http", "liqpay/reversed.http", "mollie-classic/payment.http", "mollie-classic/payment-changed.http",
    # What it holds is somebody else's, and so are its fields.
    "cloudevents/binary.http", "cloudevents/batch.http", "cloudevents/in-the-query.http", "event-grid/two.http",
    "mailgun/received-by-sales.http", "mailgun/received-by-service.http", "vk/lead.http", "rd-station/of-the-api.http",
    # It can be read only where the source says so: a token with the body inside, and XML.
    "wix/contact.http", "wix/order.http", "insales/xml.http",
}  # fmt: skip
TWINS = {"intercom", "svix"}
"""Others sign in the same header, or are the same service."""


def in_the_inbox(request: Golden) -> Golden:
    """The same request, sent to the inbox with its token."""
    query = request.target.partition("?")[2]
    others = [pair for pair in request.headers if pair[0].lower() != "x-relay-token"]
    target = "/hooks/in" + (f"?{query}" if query else "")
    return replace(request, target=target, headers=(*others, ("X-Relay-Token", TOKEN)))


@pytest.fixture
def client(relay):
    return relay({"in": INBOX, "site": {"verify": {"kind": "none"}}}, secrets={"SOURCE_INBOX_TOKEN": TOKEN})


def guesses(request: Golden) -> list[str]:
    headers = {name.lower(): value for name, value in request.headers}
    query = request.target.partition("?")[2]
    try:
        body = BodyReader(xml=True).read(request.method, headers.get("content-type", ""), query, request.body)
    except (UnreadableError, UnsupportedTypeError):
        body = None
    return [one.profile.name for one in recognise(headers, body, all_fingerprints(CONFIG))]


@pytest.mark.parametrize("request_", [pytest.param(one, id=one.id) for one in ALL])
def test_every_sender_is_recognised_by_what_it_sends(request_):
    found = guesses(request_)

    if request_.id in WITHOUT_A_SIGN:
        assert request_.profile not in found, "it is recognised now: take it out of the exceptions"
    elif request_.profile in TWINS:
        assert request_.profile in found
    else:
        assert found[:1] == [request_.profile]


def test_what_nobody_sends_looks_like_nobody():
    request = golden("inbox", "json.http")

    assert guesses(request) == []


def test_an_inbox_keeps_the_names_of_secret_headers_and_nothing_of_what_they_hold(client, record, redis):
    request = in_the_inbox(golden("github", "issue.http"))
    signature = next(value for name, value in request.headers if name == "X-Hub-Signature-256")

    answer = request.send(client)

    event = record.event(answer.get_json()["event_id"])
    assert (answer.status_code, event.state) == (200, EventState.IGNORED)
    assert event.headers["x-hub-signature-256"] == "***"
    assert "x-relay-token" not in event.headers
    kept = str(redis.hgetall(keys.EVENT + event.id))
    assert signature not in kept
    assert TOKEN not in kept


def test_the_page_of_an_event_says_who_sends_it_and_what_to_write(client, record):
    event_id = in_the_inbox(golden("github", "issue.http")).send(client).get_json()["event_id"]
    doubtful = in_the_inbox(golden("jotform", "submission.http")).send(client).get_json()["event_id"]
    unknown = in_the_inbox(golden("inbox", "json.http")).send(client).get_json()["event_id"]
    site = client.post("/hooks/site", json={"action": "opened", "issue": 1}).get_json()["event_id"]

    client.post(
        "/login", data={"password": WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"]}, headers={"Origin": "http://localhost"}
    )
    page = client.get(f"/events/{event_id}").text

    assert "It looks like GitHub" in page
    assert "github: {profile: github, secrets: [SOURCE_GITHUB_SECRET]}" in page
    assert "Not everything about this sender" not in page
    assert "compare the events with the submissions in Jotform" in client.get(f"/events/{doubtful}").text
    assert UNKNOWN in client.get(f"/events/{unknown}").text
    assert "Its sender" not in client.get(f"/events/{site}").text


def test_the_terminal_says_the_same(client, valkey, capsys, monkeypatch, tmp_path):
    event_id = in_the_inbox(golden("stripe", "checkout.http")).send(client).get_json()["event_id"]
    folder = next(tmp_path.glob("config-*"))
    monkeypatch.setenv("RELAY_CONFIG", str(folder))
    monkeypatch.setenv("REDIS_URL", valkey.url)

    assert main(["sources", "guess", event_id]) == 0
    said = capsys.readouterr().out
    assert "It looks like Stripe, by the header stripe-signature" in said
    assert "stripe: {profile: stripe, secrets: [SOURCE_STRIPE_SECRET]}" in said
    assert "sources show stripe" in said
