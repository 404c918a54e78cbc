"""What makes two events of a sender one, by its shipped profile: the same thing again, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from relay.operations.deciding import pieces_of
from relay.operations.ingest import kept_event
from relay.sources.loading import load_sources
from relay.sources.signing import sign
from relay.sources.webhook import Webhook

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Keys = Callable[..., list[str | None]]
SECRETS = """\
sources:
  it: {profile: %s, secrets: [A_SECRET]%s}
"""


@pytest.fixture
def keys(tmp_path: Path) -> Callable[..., list[str | None]]:
    """The dedup key of each event of a request."""

    def of(profile: str, body: Any, headers: dict[str, str] | None = None) -> list[str | None]:
        more = ", verify_token: A_TOKEN" if profile in {"meta", "whatsapp"} else ""
        (tmp_path / "sources.yaml").write_text(SECRETS % (profile, more))
        environ = {"A_SECRET": "a-secret-of-a-sender", "A_TOKEN": "a-token-of-an-operator"}
        source = load_sources(tmp_path / "sources.yaml", environ)["it"]
        given = {"Content-Type": "application/json", **(headers or {})}
        webhook = sign(source, Webhook(headers=given, body=json.dumps(body).encode()), NOW)
        verified = source.verify(webhook, NOW)
        pieces = pieces_of(source, kept_event(verified, NOW), source.parse(verified))
        found = [source.dedup_key(piece.context, piece.event.body) for piece in pieces]
        return [key and key.digest for key in found]

    return of


def messaging(**message: Any) -> dict[str, Any]:
    return {"object": "instagram", "entry": [{"id": "2", "messaging": [{"sender": {"id": "1"}, "message": message}]}]}


def test_of_instagram_the_deletion_of_a_message_is_another_event_than_the_message(keys: Keys) -> None:
    sent, again = keys("meta", messaging(mid="m_1", text="hi")), keys("meta", messaging(mid="m_1", text="hi"))
    deleted = keys("meta", messaging(mid="m_1", is_deleted=True))

    assert None not in sent + deleted
    assert sent == again != deleted


def test_of_xero_an_event_is_known_again_in_another_request(keys: Keys) -> None:
    event = {"resourceId": "r", "eventDateUtc": "2026-06-01T12:00:00.000", "eventType": "Update", "tenantId": "t"}
    other = {**event, "resourceId": "s"}
    first = keys("xero", {"events": [event], "firstEventSequence": 1, "entropy": "A"})
    again = keys("xero", {"events": [other, event], "firstEventSequence": 1, "entropy": "B"})

    assert again[1:] == first
    assert again[0] != first[0]


@pytest.mark.parametrize("body", [[{"a": 1}, {"a": 2}], [], [1, 2]], ids=str)
def test_of_cloudevents_in_binary_mode_a_list_is_the_data_of_one_event(keys: Keys, body: Any) -> None:
    binary = {"ce-specversion": "1.0", "ce-id": "A1", "ce-source": "/s", "ce-type": "t"}

    assert len(keys("cloudevents", body, binary)) == 1
    assert len(keys("cloudevents", body)) == len(body)


def test_of_whatsapp_two_messages_in_one_change_are_one_event_with_a_key_of_both(keys: Keys) -> None:
    """Rules see the change as WhatsApp has sent it."""

    def change(*ids: str) -> dict[str, Any]:
        return {"entry": [{"changes": [{"value": {"messages": [{"id": one} for one in ids]}}]}]}

    found = [key for ids in ("ab", "a", "b") for key in keys("whatsapp", change(*ids))]

    assert len(set(found)) == len(found) == 3
