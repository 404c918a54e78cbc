"""Messengers of Russia, Kazakhstan and Brazil, and requests that an operator composes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from kit import EMPTY, FORM, Sender, compact, header, json_text, multipart, query, urlencoded


def wazzup() -> Sender:
    """Wazzup: messages and their states, several at a time."""
    sender = Sender(
        "wazzup",
        sees="body.[messageId, status]",
        sign=query("token"),
        secret="token-of-wazzup",
        covers="nothing",
        answer=EMPTY,
    )
    first = "6a2087e9-3a1f-4f4a-8b0a-6d2f8d4f9a11"
    utf8 = "application/json; charset=utf-8"
    sender.sample("message", [f"{first}, inbound"])
    sender.again("message-again", "message")
    batch = {
        "messages": [{"messageId": "m-2", "status": "inbound", "text": "Здравствуйте", "chatId": "79161234567"}],
        "statuses": [{"messageId": "m-1", "status": "delivered"}, {"messageId": "m-1", "status": "read"}],
    }
    sender.post("batch", compact(batch), ["m-2, inbound", "m-1, delivered", "m-1, read"], utf8)
    keyed = {"messages": [{"messageId": "m-3", "status": "inbound", "text": "Да"}]}
    sender.post("with-a-crm-key", compact(keyed), ["m-3, inbound"], utf8, sign=header("Authorization", "Bearer "))
    sender.probe("test", sender.request(compact({"test": True}), utf8), EMPTY, is_signed=True)
    sender.forged("message", reason="token_mismatch")
    return sender


def green_api() -> Sender:
    """GREEN-API."""
    sender = Sender(
        "green-api",
        sees="body.[typeWebhook, status]",
        sign=header("Authorization", "Bearer "),
        secret="token-of-green-api",
        covers="nothing",
        answer=EMPTY,
    )
    sender.sample("message", ["incomingMessageReceived"])
    sender.again("message-again", "message")
    for status in ("delivered", "read"):
        sent = {"typeWebhook": "outgoingMessageStatus", "idMessage": "BAE5AC0", "status": status}
        sender.post(status, compact(sent), [f"outgoingMessageStatus, {status}"], sign=query("token"))
    for state in ("notAuthorized", "authorized"):
        changed: dict[str, Any] = {"typeWebhook": "stateInstanceChanged", "stateInstance": state}
        changed["instanceData"] = {"idInstance": 7103000000, "wid": "79990001122@c.us", "typeInstance": "whatsapp"}
        sender.post(f"state-{state.lower()}", compact(changed), ["stateInstanceChanged"])
    sender.forged("message", reason="token_mismatch")
    return sender


def avito() -> Sender:
    """Avito: its signature is published nowhere, so it proves nothing."""
    sender = Sender(
        "avito",
        sees="body.payload.value.content.text",
        sign=query("token"),
        secret="token-of-avito",
        covers="nothing",
        answer=json_text('{"ok": true}'),
    )
    signed = {"X-Avito-Messenger-Signature": "5d41402abc4b2a76b9719d911017c592ae8c7e1f4a3b2c1d0e9f8a7b6c5d4e3f"}
    sender.sample("message", ["Перезвоните мне"], headers=signed)
    sender.again("message-again", "message")
    value = {"id": "01a37eeb58964a63a4a3db86790db00b", "author_id": 94235311, "user_id": 94235311}
    own: dict[str, Any] = {"id": "75e58e8e-bfa1-403d-8056-6c6c792cf7ec", "version": "v3.0.0", "timestamp": 1780315260}
    own["payload"] = {"type": "message", "value": {**value, "content": {"text": "Добрый день"}}}
    sender.post("own-message", compact(own), ["Добрый день"], headers=signed)
    sender.forged("message", reason="token_mismatch")
    return sender


def max_() -> Sender:
    """MAX."""
    sender = Sender(
        "max",
        sees="body.[update_type, message.body.text, callback.payload]",
        sign=header("X-Max-Bot-Api-Secret"),
        secret="secret-of-max",
        covers="nothing",
        answer=EMPTY,
    )
    sender.sample("message", ["message_created, Перезвоните мне"])
    sender.again("message-again", "message")
    mid = "mid.0000000001539a2f018f4f1a2b3c4d5e"
    edited = {"update_type": "message_edited", "message": {"body": {"mid": mid, "text": "Спасибо"}}}
    sender.post("edited", compact(edited), ["message_edited, Спасибо"])
    for number in (1, 2):
        pressed = {"timestamp": 1780315200000 + number, "callback_id": f"f9LHodD0cOL{number}", "payload": "call"}
        update = {"update_type": "message_callback", "callback": pressed, "message": {"body": {"mid": mid}}}
        sender.post(f"button-{number}", compact(update), ["message_callback, call"])
    started = {"update_type": "bot_started", "timestamp": 1780315200000, "chat_id": 1, "user": {"user_id": 2}}
    sender.post("started", compact(started), ["bot_started"])
    sender.forged("message", reason="token_mismatch")
    return sender


def edna() -> Sender:
    """edna Pulse: messages and the states of what was sent."""
    sender = Sender(
        "edna",
        sees="body.[messageContent.text, status]",
        sign=query("token"),
        secret="token-of-edna",
        covers="nothing",
        answer=EMPTY,
    )
    sender.sample("message", ["Перезвоните мне"])
    sender.again("message-again", "message")
    for status in ("DELIVERED", "READ"):
        sent = {"requestId": "test-00135", "messageId": 8681748, "cascadeId": 11, "subject": "example_WA"}
        sent |= {"subjectId": 345, "status": status, "statusAt": "2026-06-01T12:00:05Z", "error": None}
        sender.post(status.lower(), compact(sent), [status])
    sender.forged("message", reason="token_mismatch")
    return sender


def z_api() -> Sender:
    """Z-API."""
    sender = Sender(
        "z-api",
        sees="body.[type, status, text.message]",
        sign=query("token"),
        secret="token-of-z-api",
        covers="nothing",
        answer=EMPTY,
    )
    asked = "Olá, quero um orçamento"
    sender.sample("message", [f"ReceivedCallback, RECEIVED, {asked}"])
    sender.again("message-again", "message")
    edited = {"type": "ReceivedCallback", "instanceId": "A20DA9C0183A2D35A260F53F5D2B9244", "isEdit": True}
    edited |= {"messageId": "3EB0C767D097B7C7C030", "status": "RECEIVED", "text": {"message": "Obrigado"}}
    sender.post("edited", compact(edited), ["ReceivedCallback, RECEIVED, Obrigado"])
    for status in ("RECEIVED", "READ"):
        read: dict[str, Any] = {"type": "MessageStatusCallback", "instanceId": "A20D", "ids": ["3EB0A", "3EB0B"]}
        read |= {"momment": 1780315200000, "phone": "5544999999999", "isGroup": False}
        sender.post(f"status-{status.lower()}", compact(read | {"status": status}),
                    [f"MessageStatusCallback, {status}"])  # fmt: skip
    sender.forged("message", reason="token_mismatch")
    return sender


def evolution_api() -> Sender:
    """Evolution API."""
    sender = Sender(
        "evolution-api",
        sees="body.[event, data.status]",
        sign=query("token"),
        secret="token-of-evolution-api",
        covers="nothing",
        answer=EMPTY,
        agent="axios/1.7.9",
    )
    sender.sample("message", ["messages.upsert, DELIVERY_ACK"])
    sender.again("message-again", "message")
    for status in ("DELIVERY_ACK", "READ"):
        update = {"keyId": "3EB0C767D097B7C7C030", "remoteJid": "5544999999999@s.whatsapp.net", "status": status}
        around = {"sender": "554499999999@s.whatsapp.net", "server_url": "https://evolution.example.com"}
        body = compact({"event": "messages.update", "instance": "example", "data": update, **around})
        sender.post(f"update-{status.lower().replace('_', '-')}", body, [f"messages.update, {status}"])
    sender.forged("message", reason="token_mismatch")
    return sender


def composed() -> Sender:
    """What an operator composes, in each of the bodies that the steps offer, with quotes, a new line and nothing."""
    sender = Sender(
        "composed",
        sees="body.[kind, name, comment]",
        sign=header("X-Relay-Token"),
        secret="token-of-composed",
        covers="nothing",
        answer=json_text("{}"),
    )
    name, comment = 'Ада "Лавлейс"', "Перезвоните:\n+79161234567"
    sender.sample("twig-form", [f"order, {name}"])
    sender.again("twig-form-again", "twig-form")
    rows = {"kind": "rows", "id": "7", "name": name, "phone": "", "comment": comment}
    boundary = "----form8c4f1"
    sender.post("rows-multipart", multipart(rows, boundary), [f"rows, {name}, {comment}"],
                f"multipart/form-data; boundary={boundary}")  # fmt: skip
    content = {"kind": "json", "id": 7, "name": name, "phone": None, "comment": comment}
    # json_encode of PHP writes letters that are not ASCII as escapes.
    sender.post("twig-json", json.dumps(content).encode(), [f"json, {name}, {comment}"])
    whole = {"id": "1042", "key": "user:1042", "name": name, "phone": None, "last_input_text": comment}
    sender.post("full-contact-data", compact(whole), [name], sign=query("token"))
    sender.post("bare-variables", urlencoded({"kind": "order", "id": "8"}), ["order"], FORM)
    sender.post("get", b"", ["order"], "", method="GET", query="kind=order&id=9&phone=", sign=query("token"))
    sender.forged("twig-form", reason="token_mismatch")
    return sender


def senders() -> Iterator[Sender]:
    """Each of them."""
    for make in (wazzup, green_api, avito, max_, edna, z_api, evolution_api, composed):
        yield make()
