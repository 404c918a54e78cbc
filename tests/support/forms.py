"""A site with a form, and the sources that its pages post to."""

from __future__ import annotations

from pathlib import Path

from tests.support.folders import copy_config

SITE, THANKS = "https://site.example", "https://site.example/thanks?from=relay"
SOURCES = """
  contact:
    verify: {{kind: none}}
    form: {{honeypot: _gotcha, min_fill: 2s}}
    origins: ["{site}"]
    double_click: 10s
    max_body: 2KB
  contact-thanks:
    verify: {{kind: none}}
    form: {{}}
    thanks: "{thanks}"
    on_invalid: accept
  # Scripts of a page send here, and no forms.
  scripted:
    verify: {{kind: token, header: X-Relay-Token, secrets: [SOURCE_WEBSITE_TOKEN]}}
    dedup: {{header: X-Submission}}
    methods: [POST, PUT]
    origins: ["{site}", "https://www.site.example:8443"]
"""
RULE = """
name: {source}-lead
source: {source}
extract:
  name: {{from: body.name, type: string, required: true, max_length: 20}}
  email: {{from: body.email, type: email, required: true}}
  guests: {{from: body.guests, type: integer, min: 1, max: 5}}
  topics: {{from: body.topics, type: list, choices: [price, demo]}}
start:
  portal: main
  template_id: 1
  document_id: {{lead: "1"}}
  parameters: {{Email: "{{email}}", Note: "{{name}}, {{guests}}, {{topics}}"}}
"""
FILLED = {"name": "Ada", "email": "ada@example.com", "_gotcha": ""}
"""What a person has typed."""


def copy_config_with_forms(folder: Path, site: str = SITE, thanks: str = THANKS) -> Path:
    """The configuration of tests, with a site's forms."""
    copied = copy_config(folder)
    with (copied / "sources.yaml").open("a", encoding="utf-8") as file:
        file.write(SOURCES.format(site=site, thanks=thanks))
    for source in ("contact", "contact-thanks", "scripted"):
        (copied / "rules" / f"{source}-lead.yaml").write_text(RULE.format(source=source), "utf-8")
    return copied
