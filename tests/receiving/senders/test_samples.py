"""A sample is signed as its sender would sign it, goes through the door, and the command says what became of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import requests
import yaml

from relay.core.errors import UnsignableError
from relay.core.ids import utc_now
from relay.operations.sampling import PLAIN, sample_of
from relay.sources import Webhook, load_sources
from relay.sources.loading import Profile
from relay.sources.signing import sign
from tests.support.configs import rule_of, write_config
from tests.support.folders import SECRETS, WEB_SECRETS
from tests.support.processes import Processes, refusing_address

NOW = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
HMAC = {"kind": "hmac", "header": "X-Sign"}
WAYS = [
    {"kind": "token", "header": "X-Token"},
    {"kind": "token", "header": "Authorization"},
    {"kind": "token", "query": "the token"},
    {"kind": "token", "field": "auth.token"},
    {"kind": "basic"},
    HMAC,
    {**HMAC, "algorithm": "sha512", "encoding": "base64url", "prefix": "v1="},
    {**HMAC, "algorithm": "md5", "encoding": "base64", "key": "text"},
    {**HMAC, "signed": "{timestamp}.{body}", "parts": {"signature": "v1", "timestamp": "t"}, "timestamp": {}},
    {**HMAC, "signed": "v0:{timestamp}:{body}", "timestamp": {"header": "X-Time", "unit": "ms"}},
    {**HMAC, "signed": "{timestamp}{body}", "timestamp": {"query": "at", "unit": "iso"}},
    {**HMAC, "signed": "{id}.{body}", "id_header": "X-Id", "separator": " ", "prefix": "v1,"},
    {**HMAC, "signed": "{method}{url}{body}"},
    {**HMAC, "signed": "{url:decoded}{fields}"},
    {**HMAC, "signed": "{php_json}"},
    {**HMAC, "signed": "{url}", "body_digest": "bodySHA256"},
    {**HMAC, "timestamp": {"field": "at.time"}},
    {"kind": "hmac", "query": "sig"},
    {
        "kind": "hmac",
        "field": "signature.signature",
        "signed": "{timestamp}{field:signature.token}",
        "timestamp": {"field": "signature.timestamp"},
    },
    {"kind": "hash", "header": "X-Sign", "signed": "{secret}{method}{url}{body}"},
    {"kind": "hash", "field": "Sign", "algorithm": "md5", "signed": "{field:a}:{secret}{sorted:Shp_}"},
    {"kind": "hmac", "query": "sign", "signed": "{values}", "values": {"of": "body", "secret": {"name": "p"}}},
    {"kind": "hash", "field": "Sign", "signed": "{secret}{values}", "values": {"of": "body", "without": ["Sign"]}},
    {**HMAC, "encoding": "base64-hex", "signed": "{php_json:sorted}"},
    {**HMAC, "signed": "{timestamp}{raw:a}", "timestamp": {"header": "X-Time", "unit": "any"}},
]
BODIES = {
    JSON: b'{"a": 1, "sum": 1.50, "signature": {"token": "t"}}',
    FORM: b"a=1&Shp_x=2&signature%5Btoken%5D=t&Sign=old",
}


def source_of(folder, verify, secrets=None):
    environ = secrets or {"SECRET": "name:the-secret-of-the-test"}
    entry = {"verify": verify, "secrets": list(environ)}
    (folder / "sources.yaml").write_text(yaml.safe_dump({"sources": {"one": entry}}), "utf-8")
    return load_sources(folder / "sources.yaml", environ)["one"]


def signs_forms_only(verify):
    return any(name in verify.get("signed", "") for name in ("{fields}", "{php", "{sorted"))


def signs_json_only(verify):
    return verify["kind"] == "hash" and "{body}" in verify["signed"]


SIGNABLE = [
    *((verify, JSON) for verify in WAYS if not signs_forms_only(verify)),
    *((verify, FORM) for verify in WAYS if not signs_json_only(verify)),
]


@pytest.mark.parametrize(("verify", "content_type"), SIGNABLE, ids=str)
def test_what_is_signed_here_is_believed_there(tmp_path, verify, content_type):
    source = source_of(tmp_path, verify)
    webhook = Webhook(
        headers={"Content-Type": content_type},
        query_string="q=%2F~",
        body=BODIES[content_type],
        public_url="https://relay.example.com/hooks/one?q=%2F~",
    )

    signed = sign(source, webhook, NOW)

    assert source.verify(signed, NOW)
    assert signed.public_url.partition("?")[2] == signed.query_string


def test_the_strongest_way_that_has_a_secret_signs(tmp_path):
    source = source_of(tmp_path, [HMAC, {"kind": "token", "query": "token"}])

    signed = sign(source, Webhook(body=b"{}"), NOW)

    assert (signed.header("x-sign") is not None, signed.query_string) == (True, "")


@pytest.mark.parametrize(
    ("verify", "secrets", "words"),
    [
        ({"kind": "ed25519", "header": "X"}, {"KEY": "ab" * 32}, "only the sender of one can sign"),
        ({**HMAC, "header": None, "field": "sig"}, None, "a signature that stands in what it signs"),
        ({"kind": "token", "field": "a[0].b"}, None, "the proof stands at 'a[0].b', which can only be read"),
    ],
)
def test_what_cannot_be_signed_here_says_why(tmp_path, verify, secrets, words):
    source = source_of(tmp_path, {name: value for name, value in verify.items() if value is not None}, secrets)

    with pytest.raises(UnsignableError, match=words.replace("[", r"\[")):
        sign(source, Webhook(headers={"Content-Type": JSON}, body=b"{}"), NOW)


def test_a_form_is_written_as_php_writes_one(tmp_path):
    source = source_of(tmp_path, HMAC)
    sample = {**PLAIN, "type": FORM, "body": {"name": "Ада", "lead": {"phone": "+1", "tags": ["a", None]}}}

    webhook = sample_of(source, Profile("x", tmp_path, {"sample": sample}), "http://relay", NOW)

    assert (
        webhook.body == b"name=%D0%90%D0%B4%D0%B0&lead%5Bphone%5D=%2B1&lead%5Btags%5D%5B0%5D=a&lead%5Btags%5D%5B1%5D="
    )
    assert source.parse(source.verify(webhook, NOW)) == {"name": "Ада", "lead": {"phone": "+1", "tags": ["a", ""]}}


SIGNED = {**HMAC, "signed": "{url}{timestamp}{body}", "timestamp": {"header": "X-Time"}, "secrets": ["SOURCE_KEY"]}
SOURCES = {
    "signed": {"verify": SIGNED, "dedup": {"from": "body.lead.id"}},
    "quiet": {"verify": SIGNED},
    "public": {"verify": {"kind": "ed25519", "header": "X-Sign", "secrets": ["SOURCE_PUBLIC"]}},
    "own": {"profile": "own", "secrets": ["SOURCE_KEY"]},
    "given": {
        "verify": {"kind": "hmac", "header": "X-Sign"},
        "probes": [{"when": "body.token", "open": True, "keeps": "body.token", "answer": {}}],
    },
}
OWN = {
    "title": "Own",
    "docs": ["https://own.example.com"],
    "steps": ["Enter {url} and {secret}"],
    "repeats": "no",
    "verify": {"kind": "token", "query": "token"},
    "probes": [{"when": "query.challenge", "answer": {"body": "{query.challenge}"}}],
    "methods": ["GET"],
    "sample": {"method": "GET", "query": "challenge=xyz", "body": ""},
}
GIVEN = {"SOURCE_KEY": "the-secret-of-the-test", "SOURCE_PUBLIC": "ab" * 32}


@pytest.fixture(scope="module")
def running(shared_valkey, tmp_path_factory):
    """A served relay, and a starter of commands beside it."""
    shared_valkey.make_fresh()
    folder = tmp_path_factory.mktemp("samples")
    config = write_config(folder / "config", SOURCES, [rule_of("signed", name="body.lead.id")], {"own": OWN})
    starter = Processes(folder, config, SECRETS | WEB_SECRETS | GIVEN)
    served = starter.start("relay", "serve", REDIS_URL=shared_valkey.url)
    served.wait_for_url()
    yield starter, served
    starter.clean_up()


@pytest.fixture
def command(running, valkey):
    starter, served = running

    def run(*words, **environment):
        port = served.url.rpartition(":")[2]
        return starter.run("relay", "sources", *words, REDIS_URL=valkey.url, RELAY_PORT=port, **environment)

    return run


def test_a_sample_gets_through_and_the_command_says_what_became_of_it(command):
    done = command("test", "quiet")

    assert done.returncode == 0, done.stderr
    assert "answer: 200 application/json" in done.stdout
    assert " ignored" in done.stdout.partition("event: evt_")[2]


def test_a_sample_whose_call_is_made_ends_well_and_once_more_it_is_a_repeat(running, command, sandbox, valkey):
    starter, _ = running
    credential = f"{sandbox.url}/rest/1/sandbox/"
    worker = starter.start("workers", REDIS_URL=valkey.url, PORTAL_MAIN_WEBHOOK_URL=credential)
    try:
        done = command("test", "signed")
        again = command("test", "signed")
    finally:
        worker.stop()

    assert done.returncode == 0, done.stdout + done.stderr
    assert "signed started" in done.stdout
    assert (again.returncode, "1 repeat of what is on record" in again.stdout) == (0, True)


def test_a_sample_with_another_secret_does_not_get_through(command):
    done = command("test", "quiet", SOURCE_KEY="another-secret-of-the-test")

    assert done.returncode == 1
    assert "answer: 401" in done.stdout
    assert " refused (signature_mismatch)" in done.stdout


def test_a_profiles_sample_may_be_a_probe(command):
    done = command("test", "own")

    assert done.returncode == 0, done.stdout + done.stderr
    assert ("xyz" in done.stdout, "answered as a probe" in done.stdout) == (True, True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("test", "public"), "only the sender of public can sign: the relay has its public key: send a test from"),
        (("test", "given"), "the sender of given has given no secret yet"),
        (("test", "quite"), "no source 'quite'; did you mean 'quiet'?"),
        (("forget", "given"), "the sender of given has given no secret"),
        (("show", "onw"), "unknown profile 'onw'; did you mean 'own'?"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(command, words, expected):
    done = command(*words)

    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert expected in done.stderr


def test_nobody_there_is_said_so(command):
    with refusing_address() as address:
        done = command("test", "quiet", "--url", f"http://{address}")

    assert done.returncode == 1
    assert "does the relay run there?" in done.stderr


def test_the_list_says_of_each_source_how_it_stands(command, running):
    command("test", "quiet")
    done = command("list")

    assert done.returncode == 0, done.stderr
    told = {part.split()[0]: part for part in done.stdout.replace("\n  ", " | ").splitlines()}
    assert "own (own)" in told["own"]
    assert f"address: {running[1].url}/hooks/quiet" in told["quiet"]
    assert "last event: never" in told["signed"]
    assert f"last event: {utc_now():%Y-%m-%d}" in told["quiet"]
    assert "problem: no rule is for its events" in told["quiet"]
    assert "problem: its sender has given no secret yet" in told["given"]


def test_a_profile_is_shown_with_this_relays_address_and_the_names_of_secrets(command):
    done = command("show", "own", RELAY_PUBLIC_URL="https://relay.example.com")

    assert done.returncode == 0, done.stderr
    assert "1. Enter https://relay.example.com/hooks/own and SOURCE_KEY" in done.stdout
    for words in ("a token in the query parameter token", "repeats:", "https://own.example.com"):
        assert words in done.stdout
    assert "own                  other       Own" in command("show").stdout


def test_a_secret_that_was_given_signs_the_sample_until_it_is_forgotten(command, running):
    requests.post(f"{running[1].url}/hooks/given", json={"token": "the-secret-that-was-given"}, timeout=10)

    assert command("test", "given").returncode == 0
    assert command("forget", "given").returncode == 0
    assert command("test", "given").returncode == 1
