"""Senders at the door as it is served: gunicorn hands over methods, targets and bodies as they were sent."""

from __future__ import annotations

import json

import pytest

from tests.support.golden import PUBLIC_URL, environ, golden, write_configuration
from tests.support.sockets import exchange

TIMELESS = [
    ("contact-form-7", "contact.http"),
    ("jotform", "submission.http"),
    ("square", "refund.http"),  # signs the address with %2F, + and ~ in it
    ("trello", "card.http"),
    ("twilio", "json.http"),
    ("hubspot", "v1.http"),
    ("mandrill", "one-message.http"),
    ("inbox", "get.http"),
    ("inbox", "put.http"),
]
PROBES = [
    ("trello", "head.http"),
    ("cloudevents", "may-i.http"),
    ("meta", "challenge.http"),
    ("microsoft-graph", "validation.http"),
    ("woocommerce", "ping.http"),
]


@pytest.fixture(scope="module")
def served(start_web, tmp_path_factory):
    """`python -m relay serve` with a source for every profile, behind the address that senders sign."""
    config = write_configuration(tmp_path_factory.mktemp("senders-served") / "config")
    return start_web(config, **environ(), RELAY_PUBLIC_URL=PUBLIC_URL)


@pytest.mark.parametrize(("profile", "name"), TIMELESS)
def test_what_a_sender_signs_is_what_the_server_hands_over(served, profile, name):
    request = golden(profile, name)

    status, _, body = exchange(served.url, request.raw())

    assert status == 200, body
    if request.answer:
        assert body == request.answer["body"].encode()
    else:
        assert json.loads(body)["state"] == "accepted"


@pytest.mark.parametrize(("profile", "name"), PROBES)
def test_a_probe_of_any_method_is_answered(served, profile, name):
    request = golden(profile, name)
    assert request.answer is not None

    status, headers, body = exchange(served.url, request.raw())

    assert (status, body) == (request.answer["status"], request.answer["body"].encode())
    assert headers["content-type"] == request.answer["type"]
    for header, value in request.answer.get("headers", {}).items():
        assert headers[header.lower()] == value.lower()


def test_another_target_than_the_one_that_was_signed_is_refused(served):
    signed = golden("square", "refund.http").raw()

    status, _, _ = exchange(served.url, signed.replace(b"a%2Fb+c~d", b"a/b+c~d", 1))

    assert status == 401
