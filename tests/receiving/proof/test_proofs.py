"""Proof of origin: the right proof is believed in every shape, and nothing else is."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import ConfigError, NotVerifiedError
from relay.sources import Headers, Source, Verified, Webhook, load_sources

NOW = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
STAMP = str(int(NOW.timestamp()))
KEY = "the-first-secret"
OTHER = "the-second-secret"
ENVIRON = {"FIRST": KEY, "SECOND": OTHER, "ENCODED": "whsec_" + base64.b64encode(KEY.encode()).decode()}
BODY = '{"naïve": "тест"}'.encode()


def source_of(folder: Path, **entry: Any) -> Source:
    path = folder / "sources.yaml"
    path.write_text(yaml.safe_dump({"sources": {"one": entry}}))
    return load_sources(path, ENVIRON)["one"]


def mistakes_of(folder: Path, **entry: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        source_of(folder, **entry)
    return str(caught.value)


def reason(source: Source, webhook: Webhook, now: datetime = NOW) -> str:
    with pytest.raises(NotVerifiedError) as caught:
        source.verify(webhook, now)
    return caught.value.reason


def digest(signed: bytes, algorithm: str = "sha256", key: str = KEY) -> bytes:
    return hmac.new(key.encode(), signed, getattr(hashlib, algorithm)).digest()


SIGNED = digest(BODY)
TIMED = digest(STAMP.encode() + b"." + BODY)
V0 = digest(b"v0:" + STAMP.encode() + b":" + BODY)
STRIPE = {
    "header": "Stripe-Signature", "parts": {"signature": "v1", "timestamp": "t"}, "signed": "{timestamp}.{body}",
    "timestamp": {},
}  # fmt: skip
SLACK = {
    "header": "X-Slack-Signature", "prefix": "v0=", "signed": "v0:{timestamp}:{body}",
    "timestamp": {"header": "X-Slack-Request-Timestamp"},
}  # fmt: skip
STANDARD = {
    "header": "webhook-signature", "encoding": "base64", "separator": " ", "prefix": "v1,",
    "signed": "{id}.{timestamp}.{body}", "id_header": "webhook-id", "timestamp": {"header": "webhook-timestamp"},
    "key": "base64", "secrets": ["ENCODED"],
}  # fmt: skip
SENDERS: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    (
        "GitHub",
        {"header": "X-Hub-Signature-256", "prefix": "sha256="},
        {"x-hub-signature-256": f"sha256={SIGNED.hex()}"},
    ),
    ("prefix in capitals", {"header": "X-Sign", "prefix": "sha256="}, {"X-Sign": f"SHA256={SIGNED.hex()}"}),
    ("capitals", {"header": "X-Sign"}, {"X-SIGN": SIGNED.hex().upper()}),
    ("sha1", {"header": "X-Sign", "algorithm": "sha1"}, {"X-Sign": digest(BODY, "sha1").hex()}),
    ("sha512", {"header": "X-Sign", "algorithm": "sha512"}, {"X-Sign": digest(BODY, "sha512").hex()}),
    ("Shopify", {"header": "X-Sign", "encoding": "base64"}, {"X-Sign": base64.b64encode(SIGNED).decode()}),
    ("base64url", {"header": "X-Sign", "encoding": "base64url"}, {"X-Sign": base64.urlsafe_b64encode(SIGNED).decode()}),
    ("unpadded", {"header": "X-Sign", "encoding": "base64"}, {"X-Sign": base64.b64encode(SIGNED).decode().rstrip("=")}),
    ("second secret", {"header": "X-Sign", "secrets": ["SECOND", "FIRST"]}, {"X-Sign": SIGNED.hex()}),
    ("Stripe", STRIPE, {"Stripe-Signature": f"t={STAMP},v1={'0' * 64},v1={TIMED.hex()},v0=x"}),
    ("Slack", SLACK, {"X-Slack-Request-Timestamp": STAMP, "X-Slack-Signature": f"v0={V0.hex()}"}),
    (
        "Standard Webhooks",
        STANDARD,
        {
            "webhook-id": "msg_1",
            "webhook-timestamp": STAMP,
            "webhook-signature": "v1a,x v1,y v1,"
            + base64.b64encode(digest(b"msg_1." + STAMP.encode() + b"." + BODY)).decode(),
        },
    ),
    (
        "milliseconds",
        {"header": "X-Sign", "signed": "{timestamp}:{body}", "timestamp": {"header": "X-Time", "unit": "ms"}},
        {"X-Time": f"{STAMP}123", "X-Sign": digest(f"{STAMP}123:".encode() + BODY).hex()},
    ),
    (
        "method and address",
        {"header": "X-Sign", "signed": "{method}{url}{body}"},
        {"X-Sign": digest(b"POSThttps://relay.example.com/hooks/one?a=1" + BODY).hex()},
    ),
]


@pytest.mark.parametrize(("options", "headers"), [sender[1:] for sender in SENDERS], ids=[one[0] for one in SENDERS])
def test_a_signature_is_believed_and_a_changed_body_is_not(
    tmp_path: Path, options: dict[str, Any], headers: dict[str, str]
) -> None:
    source = source_of(tmp_path, verify={"kind": "hmac", "secrets": ["FIRST"], **options})
    address = "https://relay.example.com/hooks/one?a=1"
    assert source.verify(Webhook(headers=headers, body=BODY, public_url=address), NOW).source == "one"
    assert reason(source, Webhook(headers=headers, body=BODY + b" ", public_url=address)) == "signature_mismatch"
    assert reason(source, Webhook(body=BODY, public_url=address)) == "signature_missing"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, "signature_missing"),
        ("", "signature_missing"),
        ("v1=" + TIMED.hex(), "timestamp_missing"),
        (f"t={STAMP}", "signature_missing"),
        (f"t=x,v1={TIMED.hex()}", "timestamp_unreadable"),
        (f"t=-{STAMP},v1={TIMED.hex()}", "timestamp_unreadable"),
        (f"t=²,v1={TIMED.hex()}", "timestamp_unreadable"),
        (f"t={'9' * 400},v1={TIMED.hex()}", "timestamp_unreadable"),
        (f"t=1{STAMP},v1={TIMED.hex()}", "signature_mismatch"),
        (f"t={STAMP},v1=é", "signature_mismatch"),
        (f"t={STAMP},v1=\udcff", "signature_mismatch"),
        ("=,=,,=", "signature_missing"),
    ],
)
def test_a_bad_signature_header_has_its_reason(tmp_path: Path, header: str | None, expected: str) -> None:
    source = source_of(tmp_path, verify={"kind": "hmac", "secrets": ["FIRST"], **STRIPE})
    assert (
        reason(source, Webhook(headers={} if header is None else {"Stripe-Signature": header}, body=BODY)) == expected
    )


@pytest.mark.parametrize(
    ("shift_s", "expected"),
    [(-301, "timestamp_future"), (-300, None), (0, None), (300, None), (301, "timestamp_stale")],
)
def test_a_signed_time_may_be_off_by_the_tolerance_either_way(
    tmp_path: Path, shift_s: int, expected: str | None
) -> None:
    source = source_of(tmp_path, verify={"kind": "hmac", "secrets": ["FIRST"], **STRIPE})
    webhook = Webhook(headers={"Stripe-Signature": f"t={STAMP},v1={TIMED.hex()}"}, body=BODY)
    now = NOW + timedelta(seconds=shift_s)
    if expected is None:
        assert source.verify(webhook, now)
    else:
        assert reason(source, webhook, now) == expected


def test_a_signed_id_that_is_missing_has_its_reason(tmp_path: Path) -> None:
    source = source_of(tmp_path, verify={"kind": "hmac", **STANDARD})
    assert reason(source, Webhook(headers={"webhook-signature": "v1,x", "webhook-timestamp": STAMP})) == "id_missing"


@pytest.mark.parametrize(
    ("verify", "headers", "query", "expected"),
    [
        ({"header": "X-Token"}, {"x-token": KEY}, "", None),
        ({"header": "X-Token"}, {"x-token": OTHER}, "", None),
        ({"header": "X-Token"}, {}, "", "token_missing"),
        ({"header": "X-Token"}, {"x-token": ""}, "", "token_missing"),
        ({"header": "X-Token"}, {"x-token": KEY + "x"}, "", "token_mismatch"),
        ({"header": "X-Token"}, {"x-token": "é"}, "", "token_mismatch"),
        ({"header": "X-Token"}, {"x-token": "日"}, "", "token_mismatch"),
        ({"header": "X-Token"}, {}, f"token={KEY}", "token_missing"),
        ({"header": "Authorization"}, {"authorization": f"Bearer {KEY}"}, "", None),
        ({"header": "Authorization"}, {"authorization": f"bearer {KEY}"}, "", None),
        ({"header": "Authorization"}, {"authorization": KEY}, "", "token_mismatch"),
        ({"header": "Authorization", "prefix": "Token "}, {"authorization": f"Token {KEY}"}, "", None),
        ({"query": "token"}, {}, f"a=1&token={KEY}", None),
        ({"query": "token"}, {}, f"token=%74{KEY[1:]}", None),
        ({"query": "token"}, {}, "", "token_missing"),
        ({"query": "token"}, {}, "token=", "token_missing"),
        ({"query": "token"}, {}, f"token={KEY}&token={KEY}", "token_mismatch"),
        ({"query": "token"}, {}, "token=%ff%00", "token_mismatch"),
    ],
)
def test_a_token_is_believed_where_it_is_expected(
    tmp_path: Path, verify: dict[str, str], headers: dict[str, str], query: str, expected: str | None
) -> None:
    source = source_of(tmp_path, verify={"kind": "token", "secrets": ["FIRST", "SECOND"], **verify})
    webhook = Webhook(headers=headers, query_string=query)
    if expected is None:
        assert source.verify(webhook, NOW)
    else:
        assert reason(source, webhook) == expected


def test_a_header_that_came_twice_proves_nothing(tmp_path: Path) -> None:
    source = source_of(tmp_path, verify={"kind": "token", "secrets": ["FIRST"], "header": "X-Token"})
    assert reason(source, Webhook(headers=Headers([("X-Token", KEY), ("x-token", KEY)]))) == "token_mismatch"


@given(header=st.text(max_size=60), query=st.text(max_size=60), body=st.binary(max_size=60))
def test_no_proof_that_was_made_up_is_believed_or_crashes(header: str, query: str, body: bytes) -> None:
    for source in SHAPES:
        name = next((way.place.header for way in source.verifier.ways), None) or "x"
        with pytest.raises(NotVerifiedError):
            source.verify(Webhook(headers={name: header, "webhook-id": header}, query_string=query, body=body), NOW)


@pytest.fixture(scope="module", autouse=True)
def _shapes(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("shapes")
    kinds: list[dict[str, Any]] = [{"kind": "token", "query": "t"}, {"kind": "token", "header": "X-Token"}]
    kinds += [{"kind": "hmac", **options} for _, options, _ in SENDERS]
    SHAPES[:] = [source_of(folder, verify={"secrets": ["FIRST"], **kind}) for kind in kinds]


SHAPES: list[Source] = []


def test_an_open_source_believes_everyone(tmp_path: Path) -> None:
    assert source_of(tmp_path, verify={"kind": "none"}).verify(Webhook(), NOW)


def test_only_verify_makes_a_verified() -> None:
    with pytest.raises(TypeError):
        Verified("one", Webhook(), {}, "", b"", None, object())


def test_secrets_never_stay_with_the_event_and_never_show(tmp_path: Path) -> None:
    source = source_of(tmp_path, verify={"kind": "token", "secrets": ["FIRST"], "query": "k"})
    headers = {
        "Authorization": "a",
        "Cookie": "b",
        "X-Hub-Signature": "c",
        "X-Api-Key": "d",
        "Content-Type": "e",
        "X-Id": "f",
    }
    webhook = Webhook(headers=headers, query_string=f"k={KEY}&a=1&access_token=x&b", body=b"personal")
    verified = source.verify(webhook, NOW)
    assert verified.headers == {"content-type": "e", "x-id": "f"}
    assert verified.query == "a=1&b"
    shown = repr(source) + repr(verified) + repr(webhook) + repr(source.verifier)
    assert not any(word in shown for word in (KEY, "personal", "access_token"))


@pytest.mark.parametrize(
    ("verify", "expected"),
    [
        ({"kind": "token", "header": "X"}, "sources.one.verify.secrets: missing: expected a list of environment"),
        ({"kind": "token", "header": "X", "secrets": ["hunter2-hunter2"]}, "never the secrets themselves"),
        ({"kind": "token", "header": "X", "secrets": ["ABSENT"]}, "ABSENT is not set (nor ABSENT_FILE)"),
        ({"kind": "token", "secrets": ["FIRST"]}, "expected one of header: NAME, query: NAME or field: PATH"),
        (
            {"kind": "token", "header": "X", "query": "x", "secrets": ["FIRST"]},
            "expected one of header: NAME, query: NAME",
        ),
        ({"kind": "hmca"}, "sources.one.verify.kind: unknown kind; did you mean 'hmac'?"),
        ({"header": "X"}, "sources.one.verify: found a map, expected a map with kind"),
        ({"kind": "none", "header": "X"}, "sources.one.verify.header: unknown key"),
        ({"kind": "hmac", "secrets": ["FIRST"]}, "sources.one.verify: found a map, expected one of header: NAME"),
        ({"kind": "hmac", "header": "X", "secrets": ["FIRST"], "signed": "{timestamp}{body}"}, "or neither"),
        ({"kind": "hmac", "header": "X", "secrets": ["FIRST"], "signed": "{id}{body}"}, "{id} and id_header"),
        ({"kind": "hmac", "header": "X", "secrets": ["FIRST"], "signed": "{url}"}, "expected text with {body}"),
        ({"kind": "hmac", "header": "X", "secrets": ["FIRST"], "timestamp": {"header": "T"}}, "or neither"),
        ({"kind": "hmac", "header": "X", "secrets": ["FIRST"], "key": "base64"}, "is not base64"),
        (
            {"kind": "hmac", "header": "X", "secrets": ["FIRST"], "signed": "{timestamp}{body}", "timestamp": {}},
            "expected the time in one place",
        ),
    ],
)
def test_a_verifier_that_could_not_work_is_a_mistake(tmp_path: Path, verify: dict[str, Any], expected: str) -> None:
    text = mistakes_of(tmp_path, verify=verify)
    assert expected in text
    assert "hunter2" not in text
    assert KEY not in text


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(KEY + "\n")
    path = tmp_path / "sources.yaml"
    path.write_text("sources: {one: {verify: {kind: token, header: X-Token, secrets: [HERE]}}}")
    source = load_sources(path, {"HERE_FILE": str(tmp_path / "secret")})["one"]
    assert source.verify(Webhook(headers={"X-Token": KEY}), NOW)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"max_body": "33MiB"}, "max_body: found '33MiB', expected"),
        ({"success_status": 303}, "success_status: found 303, expected one of 200, 201, 202, 204"),
        ({"methods": ["post"]}, "methods: found a list, expected a list of GET, HEAD"),
        ({"on_invalid": "drop"}, "on_invalid: found 'drop', expected one of reject, accept"),
        ({"dedup": {"window": "1h"}}, "dedup: found a map, expected one of from"),
        ({"dedup": {"from": "body.", "window": "1h"}}, "breaks at column 6"),
        ({"dedup": {"from": "submission_id"}}, "'submission_id' is not in an event"),
        ({"dedup": {"header": "X-Token"}}, "this header is a secret and is not kept"),
        ({"dedup": {"body": False}}, "dedup.body: found false, expected true"),
        ({"dedup": {"body": True, "window": "1y"}}, "dedup.window: found '1y', expected"),
    ],
)
def test_a_source_that_could_not_work_is_a_mistake(tmp_path: Path, entry: dict[str, Any], expected: str) -> None:
    assert expected in mistakes_of(tmp_path, verify={"kind": "none"}, **entry)
