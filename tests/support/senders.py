"""What senders do: prove themselves and post."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

from tests.support.folders import SECRETS

JSON = "application/json"
SEED = {"lead": {"id": 1}, "user": 1}
"""The example of Bitrix24's own page; rule seed-example."""
SEED_CALL = {
    "template_id": 1,
    "document_id": ["crm", "CCrmDocumentLead", "LEAD_1"],
    "parameters": {"Parameter1": "user_1"},
}


def dump(content: Any) -> bytes:
    return content if isinstance(content, bytes) else json.dumps(content).encode()


def website(content_type: str = JSON) -> dict[str, str]:
    """The headers of the source `website`."""
    return {"Content-Type": content_type, "X-Relay-Token": SECRETS["SOURCE_WEBSITE_TOKEN"]}


def github(body: bytes, event: str, delivery: str = "") -> dict[str, str]:
    """The headers of the source `github`."""
    digest = hmac.new(SECRETS["SOURCE_GITHUB_SECRET"].encode(), body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": JSON,
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": f"sha256={digest}",
    }


def stamped(body: bytes, age_s: float = 0, stamp: str | None = None) -> dict[str, str]:
    """The headers of the source `stamped`; a negative age is in the future."""
    stamp = str(int(time.time() - age_s)) if stamp is None else stamp
    signed = stamp.encode() + b"." + body
    digest = hmac.new(SECRETS["SOURCE_STAMPED_SECRET"].encode(), signed, hashlib.sha256).hexdigest()
    return {"Content-Type": JSON, "X-Time": stamp, "X-Signature": digest}
