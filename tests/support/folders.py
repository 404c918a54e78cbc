"""Copies of the shipped configuration, with a little more where a test needs it."""

from __future__ import annotations

import shutil
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = REPOSITORY / "config"

SECRETS = {
    "SOURCE_WEBSITE_TOKEN": "website-token-of-the-test",
    "SOURCE_GITHUB_SECRET": "github-secret-of-the-test",
    "SOURCE_STAMPED_SECRET": "stamped-secret-of-the-test",
}
WEB_SECRETS = {
    "RELAY_SECRET_KEY": "secret-key-of-the-test, which is long",
    "RELAY_DASHBOARD_PASSWORD": "dashboard-password-of-the-test",
    "RELAY_API_TOKEN": "api-token-of-the-test",
}

READ_TOKEN = "reading-token-of-the-test"

MORE_SOURCES = """
  # Signed with a time, as Slack and Standard Webhooks do.
  stamped:
    verify:
      {kind: hmac, header: X-Signature, signed: "{timestamp}.{body}", timestamp: {header: X-Time},
       secrets: [SOURCE_STAMPED_SECRET]}
  # The token is in the query.
  in-query:
    verify: {kind: token, query: token, secrets: [SOURCE_WEBSITE_TOKEN]}
    methods: [GET, POST]
  # A sender that gives up on us after one refusal.
  lenient:
    verify: {kind: none}
    on_invalid: accept
    success_status: 202
    dedup: {body: true, window: 1h}
  small:
    verify: {kind: none}
    max_body: 1KB
"""
LENIENT_RULE = """
name: lenient-lead
source: lenient
extract:
  id: {from: body.id, type: integer, required: true}
start: {portal: main, template_id: 1, document_id: {lead: "{id}"}}
"""
QUERY_RULE = """
name: query-lead
source: in-query
extract:
  id: {from: [query.id, body.id], type: integer, required: true}
start: {portal: main, template_id: 1, document_id: {lead: "{id}"}}
"""
WATCHED_RULE = """
name: watched
source: website
when: body.form == 'watched'
extract:
  id: {from: body.id, type: integer, required: true}
  email: {from: body.email, type: email}
start:
  portal: main
  template_id: 1
  document_id: {lead: "{id}"}
  parameters: {Email: "{email}"}
  watch: {callback: RelayCallback, within: 1h}
  comment: "{email} has asked"
"""
UNHURRIED = "\n    rate: 1000\n    burst: 10000\n"


def copy_config(folder: Path) -> Path:
    """The shipped configuration with further sources, and a portal that may be called as fast as one likes.

    Calls go out to the letter: without an id of ours among the parameters.
    """
    copied = Path(shutil.copytree(CONFIG, folder / "config"))
    sources, portals = copied / "sources.yaml", copied / "portals.yaml"
    sources.write_text(sources.read_text("utf-8") + MORE_SOURCES, "utf-8")
    portal = portals.read_text("utf-8").replace("own_id: echo", "own_id: off").rstrip() + UNHURRIED
    portals.write_text(portal, "utf-8")
    (copied / "rules" / "lenient-lead.yaml").write_text(LENIENT_RULE, "utf-8")
    (copied / "rules" / "query-lead.yaml").write_text(QUERY_RULE, "utf-8")
    return copied
