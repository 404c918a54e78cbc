"""Repositories, boards and tables."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from gidgethub import sansio
from kit import EMPTY, FORM, STAMP, Request, Sender, compact, header, json_text, query, urlencoded
from libraries import check, javascript, of
from pyairtable.models.webhook import WebhookNotification
from signatures import b64, digest, hex_header, put


def github() -> Sender:
    """GitHub, as JSON and as a form."""

    def sign(request: Request, secret: str) -> Request:
        signed = javascript("github-sign", request, secret)
        sansio.validate_event(request.body, signature=signed, secret=secret)
        legacy = digest(secret, request.body, "sha1").hex()
        return put(request, {"X-Hub-Signature": f"sha1={legacy}", "X-Hub-Signature-256": signed})

    sender = Sender(
        "github",
        sees="body.action",
        sign=sign,
        secret="secret-of-github",
        signed_by=f"{of('npm:@octokit/webhooks-methods')}; checked by {of('gidgethub')}",
        agent="GitHub-Hookshot/044aadd",
    )
    sender.sample("issue", ["opened"])
    sender.again("issue-again", "issue")
    comment = {"action": "created", "comment": {"id": 1, "body": "Still?"}, "repository": {"full_name": "octo/site"}}
    headers = {"X-GitHub-Event": "issue_comment", "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0959"}
    form = urlencoded({"payload": compact(comment).decode()})
    sender.post("comment-as-a-form", form, ["created"], FORM, headers=headers)
    ping = compact({"zen": "Keep it logically awesome.", "hook_id": 292430182, "hook": {"type": "Repository"}})
    sender.probe("ping", sender.request(ping, headers=headers | {"X-GitHub-Event": "ping"}), EMPTY, is_signed=True)
    sender.forged("issue")
    return sender


def gitlab() -> Sender:
    """GitLab."""
    sender = Sender(
        "gitlab",
        sees="body.object_kind",
        sign=header("X-Gitlab-Token"),
        secret="token-of-gitlab",
        covers="nothing",
        agent="GitLab/18.0.0",
    )
    sender.sample("issue", ["issue"])
    sender.again("issue-again", "issue")
    note = {"object_kind": "note", "event_type": "note", "object_attributes": {"id": 1241, "note": "Still?"}}
    headers = {"X-Gitlab-Event": "Note Hook", "Idempotency-Key": "f5e57ebe-0d94-4f0e-9a3b-1c0b7b3b6c45"}
    sender.post("note", compact(note), ["note"], headers=headers)
    sender.forged("issue", reason="token_mismatch")
    return sender


def bitbucket() -> Sender:
    """Bitbucket Cloud."""
    sender = Sender(
        "bitbucket",
        sees='headers."x-event-key"',
        sign=hex_header("X-Hub-Signature", "sha256="),
        secret="secret-of-bitbucket",
        agent="Bitbucket-Webhooks/2.0",
    )
    sender.sample("issue", ["issue:created"])
    sender.again("issue-again", "issue", X_Attempt_Number="2")
    push = {"push": {"changes": []}, "repository": {"full_name": "octo/site"}}
    headers = {"X-Event-Key": "repo:push", "X-Request-UUID": "6c4a1b7e-0f7a-4e12-8d8e-0a8f6c1a9f4c"}
    sender.post("push", compact(push), ["repo:push"], headers=headers)
    sender.forged("issue")
    return sender


def jira() -> Sender:
    """Jira Cloud."""
    sender = Sender(
        "jira",
        sees="body.webhookEvent",
        sign=hex_header("X-Hub-Signature", "sha256="),
        secret="secret-of-jira",
        agent="Atlassian Webhook HTTP Client",
    )
    sender.sample("created", ["jira:issue_created"])
    sender.again("created-again", "created", X_Atlassian_Webhook_Retry="1")
    updated = {
        "timestamp": STAMP * 1000,
        "webhookEvent": "jira:issue_updated",
        "issue": {"id": "10002", "key": "SITE-1"},
    }
    headers = {"X-Atlassian-Webhook-Identifier": "f3a5b1c2-7d4e-4c6b-9a8f-2e1d0c3b4a60"}
    sender.post("updated", compact(updated), ["jira:issue_updated"], headers=headers)
    sender.forged("created")
    return sender


def linear() -> Sender:
    """Linear: the time of sending stands in the body."""

    def sign(request: Request, secret: str) -> Request:
        signed = digest(secret, request.body).hex()
        check(javascript("linear-check", request, secret, signed), "@linear/sdk")
        return put(request, {"Linear-Signature": signed})

    sender = Sender(
        "linear",
        sees="body.data.identifier",
        sign=sign,
        secret="lin_wh_secret_of_linear",
        signed_by=f"checked by {of('npm:@linear/sdk')}",
        agent="Linear-Webhook",
    )
    sender.sample("created", ["SITE-1"])
    sender.again("created-again", "created")
    other = {"action": "update", "type": "Issue", "webhookTimestamp": STAMP * 1000, "data": {"identifier": "SITE-2"}}
    headers = {"Linear-Delivery": "234d1a4e-b617-4388-90fe-adc3633d6b73", "Linear-Event": "Issue"}
    sender.post("updated", compact(other), ["SITE-2"], headers=headers)
    sender.forged("created")
    return sender


def trello() -> Sender:
    """Trello: body, then address."""

    def sign(request: Request, secret: str) -> Request:
        return put(request, {"X-Trello-Webhook": b64(digest(secret, request.body + request.url.encode(), "sha1"))})

    sender = Sender("trello", sees="body.action.type", sign=sign, secret="secret-of-trello", agent="Trello (webhooks)")
    sender.sample("card", ["createCard"])
    sender.again("card-again", "card")
    other = {"action": {"id": "51f9424bcd6e040f3c002413", "type": "updateCard"}, "model": {"name": "Sales"}}
    sender.post("card-changed", compact(other), ["updateCard"])
    sender.probe("head", sender.request(b"", "", "HEAD"), EMPTY)
    sender.forged("card")
    return sender


def monday() -> Sender:
    """monday.com."""
    sender = Sender(
        "monday", sees="body.event.pulseName", sign=query("token"), secret="token-of-monday", covers="nothing"
    )
    sender.sample("item", ["Call Ada"])
    sender.again("item-again", "item")
    # One automation, two items.
    event = {"type": "create_pulse", "boardId": 1771812698, "triggerUuid": "b5ed2e17c530f43668de130142445cba"}
    sender.post(
        "item-beside", compact({"event": event | {"pulseId": 1772099345, "pulseName": "Call Bob"}}), ["Call Bob"]
    )
    challenge = sender.request(compact({"challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}))
    expected = '{"challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}'
    sender.probe("challenge", challenge, json_text(expected), is_signed=True)
    sender.forged("item", reason="token_mismatch")
    return sender


def notion() -> Sender:
    """Notion: its token comes at run time."""

    def sign(request: Request, secret: str) -> Request:
        return put(request, {"X-Notion-Signature": javascript("notion-sign", request, secret)})

    given = "secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"
    sender = Sender(
        "notion", sees="body.type", sign=sign, secret="", signed_by=of("npm:@notionhq/client"), agent="notion-api"
    )
    sender.secret = given
    handshake = sender.request(compact({"verification_token": given}))
    sender.probe("verification", handshake, EMPTY)
    after = {"expected": {"after": ["verification.http"]}}
    sender.sample("page", ["page.created"], **after)
    sender.again("page-again", "page", sender.plain["page"].body.replace(b'"attempt_number":1', b'"attempt_number":2'))
    other = {"id": "367cba44-b6f3-4c92-81e7-6a2e9659efd5", "type": "page.content_updated", "entity": {"type": "page"}}
    sender.post("page-changed", compact(other), ["page.content_updated"], **after)
    sender.forged("page")
    return learned(sender)


def asana() -> Sender:
    """Asana: its secret comes at run time, in a header that is echoed."""
    given = "b537207f20cbfa02357cf448134da559e8bd39d61597dcd5631b8012eae53e81"
    sender = Sender("asana", sees="body.[action, resource.gid]", sign=hex_header("X-Hook-Signature"), secret=given)
    shake = sender.request(b"{}", headers={"X-Hook-Secret": given})
    sender.probe("handshake", shake, EMPTY | {"headers": {"X-Hook-Secret": given}})
    after = {"expected": {"after": ["handshake.http"]}}
    sender.sample("task", ["added, 1337", "changed, 1337"], **after)
    sender.again("task-again", "task")
    event = {"user": {"gid": "12345"}, "created_at": "2026-06-01T12:00:01.456Z", "action": "changed"}
    later = {"events": [event | {"resource": {"gid": "1337"}, "change": {"field": "due_on", "action": "changed"}}]}
    sender.post("task-changed-later", compact(later), ["changed, 1337"], **after)
    sender.post("heartbeat", compact({"events": []}), [], **after)
    sender.forged("task")
    return learned(sender)


def learned(sender: Sender) -> Sender:
    """A sender whose secret nobody configures: every signed request comes after the one that brings it."""
    shake = next(name for name, (_, expected) in sender.requests.items() if expected.get("probe"))
    for _, expected in sender.requests.values():
        if not expected.get("probe") and "repeats" not in expected:
            expected["after"] = [f"{shake}.http"]
    sender.secret = ""
    return sender


def airtable() -> Sender:
    """Airtable: the key is base64."""

    def sign(request: Request, secret: str) -> Request:
        signed = f"hmac-sha256={digest(base64.b64decode(secret), request.body).hex()}"
        WebhookNotification.from_request(request.body.decode(), signed, secret)
        return put(request, {"X-Airtable-Content-MAC": signed})

    sender = Sender(
        "airtable",
        sees="body.timestamp",
        sign=sign,
        secret=b64(b"key of airtable, 32 bytes long.."),
        wrong=b64(b"another key of airtable.........."),
        signed_by=f"checked by {of('pyairtable')}",
        answer=EMPTY,
    )
    sender.sample("change", ["2026-06-01T12:00:00.000Z"])
    sender.again("change-again", "change")
    later: dict[str, Any] = {"base": {"id": "app00000000000000"}, "webhook": {"id": "ach00000000000000"}}
    sender.post(
        "change-later", compact(later | {"timestamp": "2026-06-01T12:00:00.250Z"}), ["2026-06-01T12:00:00.250Z"]
    )
    sender.forged("change")
    return sender


def senders() -> Iterator[Sender]:
    """Each of them."""
    for make in (github, gitlab, bitbucket, jira, linear, trello, monday, notion, asana, airtable):
        yield make()
