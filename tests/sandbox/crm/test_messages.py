"""im.message.add: what is written, and what is refused with which code."""

from __future__ import annotations

import pytest


def send(client, dialog="chat1", message="Hello", **options):
    return client.call("im.message.add", {"DIALOG_ID": dialog, "MESSAGE": message}, **options)


def kept(client):
    return client.session.get(f"{client.url}/sandbox/messages", timeout=5).json()


def test_messages_are_numbered_and_listed_newest_first(client):
    assert [send(client, dialog).json()["result"] for dialog in ("chat1", "sg2", 2)] == [1, 2, 3]

    assert [(one["id"], one["by"], one["dialog_id"], one["text"]) for one in kept(client)] == [
        (3, 1, "2", "Hello"),
        (2, 1, "sg2", "Hello"),
        (1, 1, "chat1", "Hello"),
    ]


@pytest.mark.parametrize(
    ("dialog", "message", "code"),
    [
        ("chat1", "", "MESSAGE_EMPTY"),
        ("chat1", "  ", "MESSAGE_EMPTY"),
        ("", "x", "USER_ID_EMPTY"),
        (None, "x", "USER_ID_EMPTY"),
        ("chat", "x", "USER_ID_EMPTY"),
        ("room1", "x", "USER_ID_EMPTY"),
        ("99", "x", "USER_NOT_FOUND"),
        ("chat404", "x", "CHAT_ID"),
        ("chat403", "x", "ACCESS_ERROR"),
    ],
)
def test_what_cannot_be_written_is_refused(client, dialog, message, code):
    answer = send(client, dialog, message)

    assert (answer.status_code, answer.json()["error"]) == (400, code)
    assert answer.json()["error_description"]
    assert kept(client) == []


def test_writing_a_message_needs_the_scope_im(client):
    client.order("settings", {"scope": ["bizproc"]})

    assert send(client).json()["error"] == "insufficient_scope"
