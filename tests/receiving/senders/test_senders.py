"""Every sender, as it is: the golden requests of tests/samples/senders through the real endpoint and a real record."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import yaml

from relay.configuration.files import Mistakes
from relay.core.errors import UnsignableError
from relay.core.lifecycle import EventState
from relay.operations.sampling import sample_of
from relay.sources.loading import SHIPPED, Profiles
from relay.store.record.search import Filter, list_events
from relay.store.senders import Senders
from tests.support.golden import PUBLIC_URL, Golden, about, environ, golden, goldens, profiles, write_configuration

ALL = list(goldens())
EVENTS = [one for one in ALL if one.is_event and one.expected["events"]]
SIGNED = ("hmac", "hash", "ed25519", "ecdsa", "rsa", "jwt")


def ids(requests):
    return [pytest.param(one, id=one.id) for one in requests]


def ways(profile):
    """The ways of proof that a profile has, as its file says."""
    verify = yaml.safe_load((SHIPPED / f"{profile}.yaml").read_text("utf-8"))["verify"]
    return verify if isinstance(verify, list) else [verify]


def tolerance_s(profile) -> int | None:
    """How old a proof may be: the longest, for a profile has one unless it says otherwise. None: any age."""
    clocks = [way["timestamp"] for way in ways(profile) if "timestamp" in way]
    units = {"s": 1, "m": 60, "h": 3600}
    written = [clock.get("tolerance", "300s") for clock in clocks]
    return max((int(text[:-1]) * units[text[-1]] for text in written), default=None)


def is_of_a_public_key(way) -> bool:
    """Whether only the sender can make this proof."""
    return way["kind"] in {"ed25519", "ecdsa", "rsa"} or way.get("algorithm") in {"RS256", "ES256"}


def is_timed(request: Golden) -> bool:
    """Whether its proof has a time."""
    return tolerance_s(request.profile) is not None and not request.expected.get("timeless")


@pytest.fixture(scope="module")
def senders_app(make_app, shared_valkey, tmp_path_factory):
    """The application with a source for every profile."""
    shared_valkey.make_fresh()  # it outlives tests that set it up otherwise
    folder = write_configuration(tmp_path_factory.mktemp("senders") / "config")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ().items():
            patch.setenv(name, value)
        return make_app(shared_valkey, config=folder, public_url=PUBLIC_URL)


class Clock:
    now: Any = None


@pytest.fixture
def client(senders_app, valkey, monkeypatch):
    """A client, with an empty record and a clock that stands where the request was signed."""
    monkeypatch.setattr("relay.web.hooks.utc_now", lambda: Clock.now)
    return senders_app.test_client()


def send(client, request: Golden, late_s: float = 0):
    Clock.now = request.at + timedelta(seconds=late_s)
    return request.send(client)


def events_on_record(record):
    return sorted((row.event for row in list_events(record, Filter()).rows), key=lambda event: event.id)


def receipts(answer) -> list[dict[str, Any]]:
    """Of each event of an answer of ours."""
    content = answer.get_json()
    return content.get("events", [content])


@pytest.mark.parametrize("request_", ids(one for one in ALL if one.is_event))
def test_a_request_makes_its_events_and_each_its_call(client, record, request_):
    for earlier in request_.before():
        send(client, earlier)

    answer = send(client, request_)

    kept = events_on_record(record)
    assert answer.status_code < 400, answer.get_data(as_text=True)
    assert [event.state for event in kept] == [EventState.ACCEPTED] * len(kept)
    calls = [record.delivery(delivery).call for event in kept for delivery in event.deliveries]
    assert [call.parameters["Note"] for call in calls] == [f"saw {seen}" for seen in request_.expected["events"]]
    assert_answer(answer, request_, [event.id for event in kept], duplicate=False)


@pytest.mark.parametrize("request_", ids(one for one in ALL if "repeats" in one.expected))
def test_a_senders_repeat_is_a_duplicate(client, record, request_):
    for earlier in request_.before():
        send(client, earlier)
    before = events_on_record(record)

    answer = send(client, request_)

    kept = events_on_record(record)
    assert [event.id for event in kept] == [event.id for event in before]
    assert [event.duplicates for event in kept] == [1] * len(kept)
    assert_answer(answer, request_, [event.id for event in kept], duplicate=True)


@pytest.mark.parametrize("request_", ids(one for one in ALL if one.expected.get("probe")))
def test_a_probe_is_answered_to_the_byte_counted_and_makes_no_event(client, record, request_):
    answer = send(client, request_)

    assert_answer(answer, request_, [])
    assert events_on_record(record) == []
    assert Senders(record.redis).probes([request_.profile])[request_.profile].count == 1


@pytest.mark.parametrize("request_", ids(one for one in ALL if "refused" in one.expected))
def test_a_wrong_proof_is_refused_and_its_reason_is_on_record(client, record, request_):
    for earlier in request_.before():
        send(client, earlier)

    answer = send(client, request_)

    if request_.answer:
        assert_answer(answer, request_, [])
    elif request_.about.get("answer", {}).get("body") == "":
        # Who wants no body in an answer wants none in a refusal: Xero fails the address otherwise.
        assert (answer.status_code, answer.get_data()) == (401, b"")
    else:
        assert (answer.status_code, answer.content_type) == (401, "application/problem+json")
    refused = [event for event in events_on_record(record) if event.state is EventState.REFUSED]
    assert [(event.reason, event.body) for event in refused] == [(request_.expected["refused"], b"")]


@pytest.mark.parametrize("request_", ids(one for one in EVENTS if one.about["covers"] == "all"))
def test_a_signed_request_is_refused_when_one_byte_of_its_body_changes(client, request_):
    for earlier in request_.before():
        send(client, earlier)
    letters = [place for place, byte in enumerate(request_.body) if chr(byte).isalnum()]

    for place in (letters[0], letters[len(letters) // 2], letters[-1]):
        changed = bytearray(request_.body)
        changed[place] = ord("1" if chr(changed[place]) != "1" else "2")
        assert send(client, request_.with_body(bytes(changed))).status_code == 401, place


@pytest.mark.parametrize(
    "request_", ids(one for one in EVENTS if tolerance_s(one.profile) and not one.expected.get("timeless"))
)
def test_a_request_whose_time_is_signed_is_refused_when_it_is_stale(client, record, request_):
    for earlier in request_.before():
        send(client, earlier)
    tolerance = tolerance_s(request_.profile)
    assert tolerance is not None

    for late_s, reason in ((tolerance + 1, "timestamp_stale"), (-tolerance - 1, "timestamp_future")):
        assert send(client, request_, late_s).status_code == 401
        assert reason in {event.reason for event in events_on_record(record)}
    assert send(client, request_, tolerance).status_code < 400


@pytest.mark.parametrize("profile", profiles())
def test_no_event_of_a_sender_is_taken_for_another(client, record, profile):
    requests = [one for name in about(profile)["requests"] if (one := golden(profile, name)).is_event]
    for earlier in {one.id: one for request in requests for one in request.before()}.values():
        send(client, earlier)

    for request in requests:
        assert send(client, request).status_code < 400

    kept = [event for event in events_on_record(record) if event.state is EventState.ACCEPTED]
    assert len(kept) == sum(len(one.expected["events"]) for one in requests)
    assert [event.duplicates for event in kept] == [0] * len(kept)


def assert_answer(answer, request_: Golden, event_ids, *, duplicate: bool = False) -> None:
    """The answer is what the sender wants, to the byte; where it wants nothing, our receipt."""
    wanted = request_.answer
    if wanted is None:
        assert (answer.status_code, answer.content_type) == (200, "application/json")
        assert answer.get_data(as_text=True) == json.dumps(answer.get_json())
        assert [receipt["event_id"] for receipt in receipts(answer)] == event_ids
        assert {receipt["duplicate"] for receipt in receipts(answer)} <= {duplicate}
        assert "Set-Cookie" not in answer.headers
        return
    assert answer.status_code == wanted["status"]
    for name, value in wanted.get("headers", {}).items():
        assert answer.headers[name] == value
    assert answer.headers.get("Location") == wanted.get("location")
    if "type" not in wanted:
        return  # a page for people, which other tests look at
    assert answer.content_type == wanted["type"]
    assert answer.get_data() == (b"" if request_.method == "HEAD" else wanted["body"].encode())
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in answer.headers


def has_public_key(way):
    """Whether only its sender can sign."""
    return way["kind"] in {"ed25519", "ecdsa", "rsa"} or way.get("algorithm") in {"RS256", "ES256"}


@pytest.mark.parametrize("profile", profiles())
def test_the_sample_of_a_profile_gets_through_when_the_relay_signs_it(senders_app, client, record, profile):
    source = senders_app.extensions["services"].sources[profile]
    Clock.now = golden(profile, next(iter(about(profile)["requests"]))).at + timedelta(days=30)
    source = source.with_secret("a-secret-that-came-at-run-time") if source.keeps_secret else source
    loaded = Profiles(None).get(profile, Mistakes())
    if all(has_public_key(way) for way in ways(profile)):
        with pytest.raises(UnsignableError):
            sample_of(source, loaded, PUBLIC_URL, Clock.now)
        return

    webhook = sample_of(source, loaded, PUBLIC_URL, Clock.now)
    if source.addresses:
        webhook = replace(webhook, remote_address=str(source.addresses[0].network_address))

    verified = source.verify(webhook, Clock.now)
    assert source.parse(verified)


# The corpus and the profiles themselves.


def test_every_profile_has_golden_requests_and_every_folder_a_profile():
    assert profiles() == sorted(path.stem for path in SHIPPED.glob("*.yaml"))


@pytest.mark.parametrize("profile", profiles())
def test_a_profile_has_two_requests_one_with_a_wrong_proof_and_its_probes(profile):
    found = [golden(profile, name) for name in about(profile)["requests"]]
    written = yaml.safe_load((SHIPPED / f"{profile}.yaml").read_text("utf-8"))

    assert sum(one.is_event for one in found) >= 2
    assert [way["kind"] for way in ways(profile)] == ["none"] or any("refused" in one.expected for one in found)
    assert not written.get("probes") or any(one.expected.get("probe") for one in found)
    assert not written.get("dedup") or any("repeats" in one.expected for one in found)
    assert sorted(one.name for one in found) == sorted(path.name for path in files_of(profile))


def files_of(profile):
    folder = SHIPPED.parents[2] / "tests" / "samples" / "senders" / profile
    return list(folder.glob("*.http"))


@pytest.mark.parametrize("profile", profiles())
def test_a_profile_says_what_a_newcomer_needs(profile):
    written = yaml.safe_load((SHIPPED / f"{profile}.yaml").read_text("utf-8"))

    assert all(link.startswith("https://") for link in written["docs"])
    steps = "\n".join(written["steps"])
    assert "{url}" in steps
    is_secret_given = any("keeps" in probe for probe in written.get("probes", ()))
    assert "{secret}" in steps or is_secret_given or written["verify"] == {"kind": "none"}
    assert written["repeats"]
    assert written["sample"].get("body") or written["sample"].get("query")


@pytest.mark.parametrize("profile", profiles())
def test_who_signs_is_said_and_whether_the_body_is_covered(profile):
    kinds = {way["kind"] for way in ways(profile)}

    assert about(profile)["signed_by"]
    assert (about(profile)["covers"] != "nothing") == bool(kinds & set(SIGNED))
