"""The files in config/: they load, and their samples and the guide's examples do what they say."""

import hashlib
import hmac
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from relay.configuration.alerts import load_alerting
from relay.configuration.portals import load_portals
from relay.core.plan import Call
from relay.rules import RuleBook, load_rules
from relay.sources import Source, Webhook, build_context, load_sources

CONFIG = Path(__file__).resolve().parents[2] / "config"
GITHUB = CONFIG.parents[1] / "shared" / "samples" / "github"
NOW = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
ENVIRON = {"SOURCE_WEBSITE_TOKEN": "a-website-token", "SOURCE_GITHUB_SECRET": "a-github-secret"}
SAMPLES = sorted((CONFIG / "samples").glob("*.json"))


@pytest.fixture(scope="module")
def sources() -> dict[str, Source]:
    return load_sources(CONFIG / "sources.yaml", ENVIRON)


@pytest.fixture(scope="module")
def book(sources: dict[str, Source]) -> RuleBook:
    return load_rules(CONFIG / "rules", sources=sources, portals=load_portals(CONFIG / "portals.yaml"))


def calls(sources: dict[str, Source], book: RuleBook, source: str, webhook: Webhook) -> dict[str, Call]:
    verified = sources[source].verify(webhook, NOW)
    context = build_context(source, verified, sources[source].parse(verified), NOW)
    return {rule.name: rule.to_intent(context).call for rule in book.for_source(source) if rule.matches(context)}


def webhook_of(source: str, content: Any, content_type: str = "application/json", **headers: str) -> Webhook:
    body = urlencode(content).encode() if "urlencoded" in content_type else json.dumps(content).encode()
    signature = hmac.new(ENVIRON["SOURCE_GITHUB_SECRET"].encode(), body, hashlib.sha256).hexdigest()
    proof = {
        "website": {"X-Relay-Token": ENVIRON["SOURCE_WEBSITE_TOKEN"]},
        "github": {"X-Hub-Signature-256": f"sha256={signature}"},
        "open-form": {},
    }[source]
    return Webhook(headers={"Content-Type": content_type, **proof, **headers}, body=body)


@pytest.mark.parametrize("path", SAMPLES, ids=[path.stem for path in SAMPLES])
def test_every_sample_starts_exactly_one_workflow(path: Path, sources: dict[str, Source], book: RuleBook) -> None:
    sample = json.loads(path.read_text("utf-8"))
    webhook = webhook_of(sample["source"], sample["body"], sample["content_type"], **sample.get("headers", {}))
    assert len(calls(sources, book, sample["source"], webhook)) == 1


def test_the_example_of_bitrix24_comes_out_to_the_letter(sources: dict[str, Source], book: RuleBook) -> None:
    made = calls(sources, book, "website", webhook_of("website", {"lead": {"id": 1}, "user": 1}))
    assert [call.to_wire() for call in made.values()] == [
        {
            "template_id": 1,
            "document_id": ["crm", "CCrmDocumentLead", "LEAD_1"],
            "parameters": {"Parameter1": "user_1"},
        },
    ]


@pytest.mark.parametrize(
    ("kind", "template_id", "element"),
    [
        ("lead", 1, "LEAD_7"), ("deal", 2, "DEAL_7"), ("contact", 3, "CONTACT_7"), ("company", 4, "COMPANY_7"),
        ("quote", 5, "QUOTE_7"), ("invoice", 6, "SMART_INVOICE_7"), ("dynamic", 7, "DYNAMIC_147_7"), ("feed", 8, "7"),
        ("list", 9, "7"), ("file", 10, "7"),
    ],
)  # fmt: skip
def test_there_is_an_example_for_each_kind_of_document(
    kind: str, template_id: int, element: str, sources: dict[str, Source], book: RuleBook
) -> None:
    made = calls(sources, book, "website", webhook_of("website", {"document": kind, "id": 7, "email": "a@example.com"}))
    call = made[f"document-{kind}"]
    assert len(made) == 1
    assert (call.template_id, call.document_id[2]) == (template_id, element)
    assert call.parameters == {"Parameter1": "user_1", "Email": "a@example.com", "Phone": "", "Note": ""}


def test_the_full_form_in_an_examples_comment_is_what_its_short_form_means(book: RuleBook) -> None:
    for path in sorted((CONFIG / "rules").glob("document-*.yaml")):
        comment = re.search(r"document_id: .*#\s*(\[.*\])", path.read_text("utf-8"))
        assert comment
        full = [str(member).format(id=7, entity_type=147) for member in yaml.safe_load(comment[1])]
        context = {"body": {"id": 7}, "headers": {}, "query": {}, "source": "website", "received_at": ""}
        assert full == list(book.get(path.stem).to_intent(context).call.document_id)


GITHUB_BODIES: dict[str, Any] = {
    "issues": {"action": "opened", "issue": {"number": 3, "title": "t {x}", "user": {"login": "o"}}},
    "pull_request": {
        "action": "opened",
        "pull_request": {"number": 3, "title": "t", "html_url": "https://github.com/x"},
    },
    "release": {"action": "published", "release": {"id": 5, "tag_name": "v1"}},
    "push": {"ref": "refs/heads/main", "repository": {"id": 5, "full_name": "o/r"}, "pusher": {"email": None}},
}


@pytest.mark.parametrize("event", GITHUB_BODIES)
def test_a_github_event_starts_one_workflow(event: str, sources: dict[str, Source], book: RuleBook) -> None:
    webhook = webhook_of("github", GITHUB_BODIES[event], **{"X-GitHub-Event": event})
    assert len(calls(sources, book, "github", webhook)) == 1


@pytest.mark.parametrize(("event", "body"), [("ping", {"zen": "x"}), ("issues", {"action": "closed"}), ("star", {})])
def test_other_github_events_start_nothing(event: str, body: Any, sources: dict[str, Source], book: RuleBook) -> None:
    assert calls(sources, book, "github", webhook_of("github", body, **{"X-GitHub-Event": event})) == {}


def test_githubs_own_examples_start_one_workflow_each_but_ping(sources: dict[str, Source], book: RuleBook) -> None:
    for path in sorted(GITHUB.glob("*.json")):
        event = path.name.partition(".")[0]
        webhook = webhook_of("github", json.loads(path.read_text("utf-8")), **{"X-GitHub-Event": event})
        assert len(calls(sources, book, "github", webhook)) == (event != "ping"), path.name


GUIDE = sorted((CONFIG / "guide").glob("*.md"))


PUBLIC_KEY = (
    rsa.generate_private_key(65_537, 2_048)
    .public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode("ascii")
)


def blocks_of(pages: list[Path]) -> list[str]:
    return [block for page in pages for block in re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)]


def test_what_the_guide_shows_of_a_source_is_what_loads(tmp_path: Path) -> None:
    """Its keys stand there as they stand under the name of a source."""
    blocks = [block for block in blocks_of(GUIDE) if block.startswith("    ")]
    blocks += [block.partition("\n")[2] for block in blocks_of(GUIDE) if re.match(r"  [a-z]+:\n", block)]
    assert len(blocks) >= 6
    for block in blocks:
        path = tmp_path / "sources.yaml"
        proof = "" if re.search("verify:|profile:", block) else "    verify: {kind: none}\n"
        path.write_text(f"sources:\n  one:\n{block}{proof}", "utf-8")
        secrets = {name: f"the-secret-of-{name}" for name in re.findall(r"[A-Z]+_[A-Z_]+", block)}
        secrets |= dict.fromkeys((name for name in secrets if name.endswith("_PUBLIC_KEY")), PUBLIC_KEY)
        assert load_sources(path, secrets)["one"], block


def test_the_steps_in_the_guide_are_those_of_rules_that_load(tmp_path: Path) -> None:
    blocks = blocks_of([CONFIG / "guide" / "documents-first.md"])
    extract = "".join(f"  {name}: {{from: body.{name}}}\n" for name in ("name", "phone", "email", "manager"))
    for number, block in enumerate(blocks):
        path = tmp_path / f"{number}.yaml"
        path.write_text(f"name: r{number}\nsource: site\nextract:\n{extract}{block}", "utf-8")

    assert len(load_rules(tmp_path, sources=["site"], portals=["main"]).all()) == len(blocks) == 2


def test_the_whole_rules_in_the_guide_load(tmp_path: Path) -> None:
    found = [block for block in blocks_of([CONFIG / "README.md", *GUIDE]) if re.search("^name: ", block, re.MULTILINE)]
    for number, block in enumerate(found):
        (tmp_path / f"{number}.yaml").write_text(block, "utf-8")

    assert len(load_rules(tmp_path, sources=["website", "shop"], portals=["main"]).all()) == len(found) == 2


def test_the_small_configuration_in_the_readme_is_one_that_loads(tmp_path: Path) -> None:
    for block in blocks_of([CONFIG / "README.md"]):
        path = tmp_path / block.partition("\n")[0].removeprefix("# ")
        path.parent.mkdir(exist_ok=True)
        path.write_text(block, "utf-8")
    sources = load_sources(tmp_path / "sources.yaml", {"SOURCE_SHOP_SECRET": "the-secret-of-the-test"})
    portals = load_portals(tmp_path / "portals.yaml")

    assert load_rules(tmp_path / "rules", sources=sources, portals=portals).get("paid")


def test_the_alerts_in_the_guide_are_ones_that_load(tmp_path: Path) -> None:
    (tmp_path / "sources.yaml").write_text("sources:\n  website: {verify: {kind: none}}\n", "utf-8")
    environ = {
        "ALERT_ON_CALL_URL": "https://site.example",
        "ALERT_ON_CALL_SECRET": "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=",
        "ALERT_MAIL_PASSWORD": "the-password-of-the-test",
        "ALERT_CRM_URL": "https://crm.example",
        "ALERT_CRM_SECRET": "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=",
    }

    for block in blocks_of([CONFIG / "guide" / "alerts.md"]):
        (tmp_path / "alerts.yaml").write_text(block, "utf-8")
        assert load_alerting(tmp_path, environ, portals=["main"])
