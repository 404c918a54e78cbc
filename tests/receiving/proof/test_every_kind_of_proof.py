"""Every way in which senders prove themselves: the right proof is believed, one changed byte is not, nor an old one.

The vectors were made without this project's code: by hand with hashlib, and by `openssl` where a public key is used.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import NotVerifiedError
from relay.sources import Source, Webhook, load_sources
from relay.sources.proof import REASONS

NOW = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
STAMP = "1769853600"
KEY = "the-secret-of-the-test"
SALT = "the-salt-of-the-test"
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
URL = "https://relay.example.com/hooks/one?a=1"
BODY = b'{"a": 1}'

# openssl genpkey -algorithm ed25519; openssl pkeyutl -sign -rawin; openssl dgst -sha256 -sign, over STAMP and BODY
ED25519 = "f06a603b9fed77b6eb857809ff27c05a1b8e281e85b526e7632e9ff37bc06a90"
ED25519_DER = "MCowBQYDK2VwAyEA8GpgO5/td7brhXgJ/yfAWhuOKB6FtSbnYy6f83vAapA="
ED25519_SIGNATURE = (
    "f5fa6c729995f675e3908c6562f73f027b7494f61efd05d232f7269b78b4e91d"
    "9cc4866e771320c180a0fae67d6628ef6244bdc32fa02870fd8ae4627a8c1202"
)
P256_DER = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEXgk4QR83kX3+e0KI56xgNMQzKc+P"
    "QWdzH8Ht/LsMzxwequ3iHH+xw+ansSvwJa+V2xOsazRLlfdVg3ufFdELKw=="
)
P256_SIGNATURE = "MEUCIQCe369xXYZhVkwo3/wXpK1ijLVHt07vY46lujQCf4ViZwIgR0IKurzT2R+zQmruDDEQYq1k+iPXztISVULtgV0FnHU="
# openssl genpkey -algorithm RSA; openssl dgst -sha256 -sign, over STAMP and BODY
RSA_DER = (
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAsGLm/0fqB+0mJaNb5WgPcTS+eCAdJ9wOQD6VR7tzjm/0rgA31by8"
    "zYYaSteC1TR/bFS7xtnhisRG3SoyYSAy1Ivc4sUOgevHkKcCwnXR2N+hj1aEKsP8PQCdrUzz9StR1+5bXV7iSlLbxw+VtYjM"
    "zJ0Fw+lJLwTEncbiMt5fzvW5rtEQV/vgZnDI+olKG9/WoTvaiNiNRxF3HHezkkxYQRjleJp4Of+sBPaJV8YhLpbUWcIqEomr"
    "gTMKLSnIEfzrP7hy0PfGtrLt9kzuswTv+9vaEJYzuSzqgaFTmQcm/RSWiIuW/1I7SeBAM3AdcU8pa4JhomAIcaahfI6Za9Gf"
    "vwIDAQAB"
)
RSA_SIGNATURES = {
    "sha1": (
        "DNEgj5ndRS63u1+UnM18E0TosmVKEo84KdVyEG6eRAsKKl2BztF8kSniucM6KtnrDrOowT+0XVjxit2S8+y4F4W9JkAkmsgm"
        "f2Yvsx1Nn9pfoiwyLXBT7sEmc+uvnDQySxzQ1lM9cXTrxNcWZLtgGSWtGs/7i4DnPL65rD+yMQ1F/3jKURAMIS14kD/1T+4X"
        "AviJgHLWj93CNKPoXVMTnQXaQNE5SevkTVOmWzc/QBH5NoZxEngzyrlBCYaHieEAqujaec37zqh/MPtSg2H1TPP8PelgFsZT"
        "hUEeri0uM1K4JJMhYrFySbK75AkGtAHbAPlzl9q2tDUG+ww79xkjfg=="
    ),
    "sha256": (
        "b5mh10H/mpVG4u524KEgHd4N9IHAO2sj88c08Whx9+nqCdrAeJ8U2ikoU8+0XdKq8vBjGyqL++MpP+R6E9hCzMNKuSBPrmUx"
        "gsgK7JPoymk5VRvopB/d44ODu5XutbvEBQlmq8Hu2K7AwAcipLlRifx09t5QS8NiUyw4/9rmkq6lKV9dafxBKXLjVVO2n3xK"
        "g95SQy+lDFUx1NIQhnV2bqhNpPsF2JM08LltZoaVxiEII0E232+rrU6hVgnCZb221vEmXSb6zQ/2kOfiaT5o8rUPvg7sXtb7"
        "BWxgqvk5Z/Xhlu3QNsDO6LMtyNwyrJsA5xgE329PqQIisD4nMAxNXQ=="
    ),
    "sha512": (
        "kaULspo/dQOe9qOHyx8OIfTQhWrJtfIRYVlGPRxapdEyBs2j75dPaViRF/wq9LJiops5Er/XWA8iDLSkf6phT7xy7W/k7syn"
        "mmBXwy14QRMMEVeU7zxUIV83KcheCC23YLan2XRCNAUvc0Dk0fGGdqt6fUt9PSNh0JU7Adk1XSR9jfpB5VQjL3d6JEQrtEY6"
        "Cj8DI3F9XYS0g/XOriNln4zdgUZeXiEZgpMLr0yyrlpaI5PMpD4CcSe1/OICHQylwrU/il2tCu0KLszpiZDD3J4uB9nyrZf2"
        "jCmpYthAv/VFbOLqXcc5BYjHNEkcrZChhZtZBHa9tjigNDGSsiCrvg=="
    ),
}
PEM = "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----"


def mac(signed: bytes, algorithm: str = "sha256", key: bytes = KEY.encode()) -> bytes:
    return hmac.new(key, signed, algorithm).digest()


def md5(text: bytes) -> Any:
    return hashlib.new("md5", text, usedforsecurity=False)


def sha1(text: bytes) -> Any:
    return hashlib.new("sha1", text, usedforsecurity=False)


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


@dataclass(frozen=True)
class Case:
    """One sender. is_old_refused: its time is checked. changed: a body that is another to its proof. more: keys of its
    source.
    """

    name: str
    verify: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = BODY
    content_type: str = JSON
    query: str = "a=1"
    secret: str = KEY
    is_old_refused: bool = False
    changed: bytes | None = None
    method: str = "POST"
    more: dict[str, Any] = field(default_factory=dict)


def hmac_in(header: str = "X-Sign", **more: Any) -> dict[str, Any]:
    return {"kind": "hmac", "header": header, **more}


TIMED = {"signed": "{timestamp}{body}", "timestamp": {"header": "X-Time"}}
FIELDS = b"b=2&a%5B1%5D=%D0%B6&a%5B0%5D=1&c%5Bd%5D="
PHP = b"name=%D0%90da+%2F&tags%5B0%5D=a&tags%5B1%5D=b&odd%5B1%5D=x&e=%F0%9F%98%80%22%5C"
PHP_JSON = rb'{"name":"\u0410da \/","tags":["a","b"],"odd":{"1":"x"},"e":"\ud83d\ude00\"\\"}'
MAILGUN = b'{"signature": {"timestamp": "1769853600", "token": "tok", "signature": "%s"}, "x": 1}'
ROBOKASSA = b"OutSum=100.00&InvId=5&Shp_b=2&Shp_a=1&SignatureValue="
ROBOKASSA_TEXT = b"100.00:5:" + KEY.encode() + b":Shp_a=1:Shp_b=2"
TBANK = (
    b'{"TerminalKey": "T", "OrderId": "a\\u0436", "Success": true, "Status": "OK", "Amount": 100.50, "Pan": null,'
    b' "Data": {"Email": "x"}, "Token": "%s"}'
)
TBANK_TEXT = f"100.50aж{KEY}OKtrueT".encode()
SBER = "status=1&mdOrder=x-1&amount=100&orderNumber=7%2B&sign_alias=S"
SBER_TEXT = b"amount;100;mdOrder;x-1;orderNumber;7+;status;1;"
UNITPAY = "method=pay&params%5Bsum%5D=10.00&params%5Baccount%5D=user&params%5Bsignature%5D="
PRODAMUS = (
    b"sum=1.00&products%5B1%5D%5Bname%5D=B&products%5B0%5D%5Bprice%5D=1%2F2&products%5B0%5D%5Bname%5D=%D0%96%22"
    b"&odd%5B10%5D=x&odd%5B9%5D=%E2%80%A8&a=%F0%9F%98%80"
)
PRODAMUS_JSON = (
    r'{"a":"😀","odd":{"9":"\u2028","10":"x"},"products":[{"name":"Ж\"","price":"1\/2"},{"name":"B"}],"sum":"1.00"}'
)
MANGO = b"vpbx_api_key=the-secret-of-the-test&json=%7B%22a%22%3A+1.50%7D&sign="
MANGO_SIGN = hashlib.sha256(f'{KEY}{{"a": 1.50}}{SALT}'.encode()).hexdigest().encode()
LIQPAY = b"data=eyJhIjoxfQ%3D%3D&signature="
LIQPAY_SIGN = quote(b64(sha1(f"{KEY}eyJhIjoxfQ=={KEY}".encode()).digest())).encode()
CASES = [
    Case("a token in the query", {"kind": "token", "query": "t"}, query=f"a=1&t={KEY}", changed=BODY),
    Case(
        "a token in JSON",
        {"kind": "token", "field": "auth.token"},
        body=b'{"auth": {"token": "the-secret-of-the-test"}}',
        changed=b'{"auth": {"token": "the-secret-of-the-tesT"}}',
    ),
    Case(
        "a token in a form",
        {"kind": "token", "field": "auth.token"},
        body=b"auth%5Btoken%5D=the-secret-of-the-test&x=1",
        content_type=FORM,
        changed=b"auth%5Btoken%5D=another",
    ),
    Case(
        "HTTP Basic",
        {"kind": "basic"},
        {"Authorization": f"Basic {b64(b'name:pass:word')}"},
        secret="name:pass:word",
        changed=BODY,
    ),
    *[
        Case(algorithm, hmac_in(algorithm=algorithm), {"X-Sign": mac(BODY, algorithm).hex()})
        for algorithm in ("sha1", "sha256", "sha384", "sha512", "md5")
    ],
    Case("a key in hex", hmac_in(key="hex"), {"X-Sign": mac(BODY, key=b"\x01\xff").hex()}, secret="01ff"),
    Case(
        "a key in base64", hmac_in(key="base64"), {"X-Sign": mac(BODY, key=b"\x01\xff\x02").hex()}, secret="whsec_Af8C"
    ),
    Case("in the query", {"kind": "hmac", "query": "sig"}, query=f"a=1&sig={mac(BODY).hex()}"),
    Case(
        "a digest that begins with the secret, as HubSpot's first version",
        {"kind": "hash", "header": "X-Sign", "signed": "{secret}{body}"},
        {"X-Sign": hashlib.sha256(KEY.encode() + BODY).hexdigest()},
    ),
    Case(
        "HubSpot's second",
        {"kind": "hash", "header": "X-Sign", "signed": "{secret}{method}{url}{body}"},
        {"X-Sign": hashlib.sha256(KEY.encode() + b"POST" + URL.encode() + BODY).hexdigest()},
    ),
    Case(
        "HubSpot's third",
        hmac_in(
            signed="{method}{url:decoded}{body}{timestamp}",
            timestamp={"header": "X-Time", "unit": "ms"},
            encoding="base64",
        ),
        {
            "X-Time": f"{STAMP}500",
            "X-Sign": b64(
                mac(b"POSThttps://relay.example.com/hooks/one?q=a/b:c@d%20e+%7E" + BODY + STAMP.encode() + b"500")
            ),
        },
        query="q=a%2Fb%3ac%40d%20e+%7E",
        is_old_refused=True,
    ),
    Case(
        "Robokassa: a digest in the form, over fields and the secret",
        {
            "kind": "hash",
            "algorithm": "md5",
            "field": "SignatureValue",
            "signed": "{field:OutSum}:{field:InvId}:{secret}{sorted:Shp_}",
        },
        body=ROBOKASSA + md5(ROBOKASSA_TEXT).hexdigest().upper().encode(),
        content_type=FORM,
        changed=ROBOKASSA.replace(b"InvId=5", b"InvId=6") + md5(ROBOKASSA_TEXT).hexdigest().encode(),
    ),
    Case(
        "Robokassa: names of the shop in capitals",
        {"kind": "hash", "algorithm": "md5", "field": "Sig", "signed": "{field:OutSum}:{secret}{sorted:Shp_}"},
        body=b"OutSum=1&shp_b=2&SHP_a=1&Sig=" + md5(b"1:" + KEY.encode() + b":SHP_a=1:shp_b=2").hexdigest().encode(),
        content_type=FORM,
        changed=b"OutSum=1&shp_b=3&SHP_a=1&Sig=" + md5(b"1:" + KEY.encode() + b":SHP_a=1:shp_b=2").hexdigest().encode(),
    ),
    Case(
        "a number of the body, as it is written there",
        hmac_in(signed="{field:sum}:{field:id}:{body_sha256}"),
        {"X-Sign": mac(b"100.00:7:" + hashlib.sha256(b'{"sum": 100.00, "id": 7}').hexdigest().encode()).hex()},
        body=b'{"sum": 100.00, "id": 7}',
        changed=b'{"sum": 100.0, "id": 7}',
    ),
    Case(
        "Robokassa by GET",
        {"kind": "hash", "algorithm": "md5", "field": "Sig", "signed": "{field:OutSum}:{secret}{sorted:Shp_}"},
        method="GET",
        body=b"",
        query="OutSum=1&Shp_a=%2B&Sig=" + md5(b"1:" + KEY.encode() + b":Shp_a=+").hexdigest(),
        changed=b"OutSum=2",
    ),
    Case(
        "Twilio: the address and sorted fields",
        hmac_in(signed="{url}{fields}", algorithm="sha1", encoding="base64"),
        {"X-Sign": b64(mac(URL.encode() + "a[0]1a[1]жb2c[d]".encode(), "sha1"))},
        body=FIELDS,
        content_type=FORM,
        changed=FIELDS.replace(b"b=2", b"b=3"),
    ),
    Case(
        "Twilio: the address, in which the digest of the body is",
        hmac_in(signed="{url}", body_digest="bodySHA256", algorithm="sha1", encoding="base64"),
        {
            "X-Sign": b64(
                mac(f"{URL[:-3]}bodySHA256={hashlib.sha256(BODY).hexdigest()}".encode(), "sha1"),
            )
        },
        query=f"bodySHA256={hashlib.sha256(BODY).hexdigest()}",
    ),
    Case(
        "WPForms: the form as PHP writes JSON",
        hmac_in(signed="{timestamp}.{php_json}", parts={"signature": "v", "timestamp": "t"}, timestamp={}),
        {"X-Sign": f"t={STAMP},v={mac(STAMP.encode() + b'.' + PHP_JSON).hex()}"},
        body=PHP,
        content_type=FORM,
        changed=PHP.replace(b"Ada", b"Eve").replace(b"tags%5B0%5D=a", b"tags%5B0%5D=c"),
        is_old_refused=True,
    ),
    Case(
        "Mailgun: everything in the body",
        {
            "kind": "hmac",
            "field": "signature.signature",
            "signed": "{timestamp}{field:signature.token}",
            "timestamp": {"field": "signature.timestamp"},
        },
        body=MAILGUN % mac(b"1769853600tok").hex().encode(),
        changed=(MAILGUN % mac(b"1769853600tok").hex().encode()).replace(b'"tok"', b'"tak"'),
        is_old_refused=True,
    ),
    Case(
        "Linear: a time in the body that is signed",
        hmac_in(timestamp={"field": "at", "unit": "ms"}),
        {"X-Sign": mac(b'{"at": 1769853600250}').hex()},
        body=b'{"at": 1769853600250}',
        is_old_refused=True,
    ),
    Case(
        "a time as ISO 8601, as Twitch",
        hmac_in(signed="{id}{timestamp}{body}", id_header="X-Id", timestamp={"header": "X-Time", "unit": "iso"}),
        {
            "X-Id": "m-1",
            "X-Time": "2026-01-31T10:00:00.634234626Z",
            "X-Sign": mac(b"m-12026-01-31T10:00:00.634234626Z" + BODY).hex(),
        },
        is_old_refused=True,
    ),
    Case(
        "a time with an offset",
        hmac_in(signed="{timestamp}{body}", timestamp={"header": "X-Time", "unit": "iso"}),
        {"X-Time": "2026-01-31T13:00:00+03:00", "X-Sign": mac(b"2026-01-31T13:00:00+03:00" + BODY).hex()},
        is_old_refused=True,
    ),
    Case(
        "the digest of the body, a header and a value of the query",
        hmac_in(signed="{body_sha256}|{header:X-Topic}|{query:a}"),
        {"X-Topic": "t", "X-Sign": mac(hashlib.sha256(BODY).hexdigest().encode() + b"|t|1").hex()},
    ),
    Case(
        "T-Bank: the values of the body and the password, sorted by name",
        {
            "kind": "hash",
            "field": "Token",
            "signed": "{values}",
            "values": {"of": "body", "without": ["Token"], "secret": {"name": "Password"}},
        },
        body=TBANK % hashlib.sha256(TBANK_TEXT).hexdigest().encode(),
        changed=TBANK.replace(b"100.50", b"100.5") % hashlib.sha256(TBANK_TEXT).hexdigest().encode(),
    ),
    Case(
        "Sber: the values of the query, each with its name",
        {
            "kind": "hmac",
            "query": "checksum",
            "signed": "{values}",
            "values": {"of": "query", "as": "{name};{value};", "without": ["checksum", "sign_alias"]},
        },
        method="GET",
        body=b"",
        query=f"{SBER}&checksum={mac(SBER_TEXT).hex().upper()}",
        changed=f"{SBER.replace('=100', '=101')}&checksum={mac(SBER_TEXT).hex().upper()}".encode(),
    ),
    Case(
        "Unitpay: the values of a map in the query, joined",
        {
            "kind": "hash",
            "query": "params[signature]",
            "signed": "{query:method}{{up}}{values}{{up}}{secret}",
            "values": {"of": "query.params", "join": "{up}", "without": ["signature"]},
        },
        method="GET",
        body=b"",
        query=UNITPAY + hashlib.sha256(b"pay{up}user{up}10.00{up}" + KEY.encode()).hexdigest(),
        changed=UNITPAY.replace("=user", "=other").encode()
        + hashlib.sha256(b"pay{up}user{up}10.00{up}" + KEY.encode()).hexdigest().encode(),
    ),
    Case(
        "Fondy: the values that are not empty",
        {
            "kind": "hash",
            "field": "signature",
            "algorithm": "sha1",
            "signed": "{secret}|{values}",
            "values": {"of": "body", "join": "|", "without": ["signature"], "empty": False},
        },
        body=b"b=2&none=&a=%D0%B6&signature=" + sha1(f"{KEY}|ж|2".encode()).hexdigest().encode(),
        content_type=FORM,
        changed=b"b=3&none=&a=%D0%B6&signature=" + sha1(f"{KEY}|ж|2".encode()).hexdigest().encode(),
    ),
    Case(
        "the fields of a form as they are sent, name by name",
        {
            "kind": "hmac",
            "header": "X-Sign",
            "signed": "{values}",
            "values": {"of": "fields", "as": "{name}={value}", "join": "&"},
        },
        {"X-Sign": mac("a[0]=1&a[1]=ж&b=2&c[d]=".encode()).hex()},
        body=FIELDS,
        content_type=FORM,
        changed=FIELDS.replace(b"%5Bd%5D=", b"%5Bd%5D=1"),
    ),
    Case(
        "Prodamus: the form as PHP writes sorted JSON",
        hmac_in(signed="{php_json:sorted}"),
        {"X-Sign": mac(PRODAMUS_JSON.encode()).hex()},
        body=PRODAMUS,
        content_type=FORM,
        changed=PRODAMUS.replace(b"sum=1.00", b"sum=2.00"),
    ),
    Case(
        "Zadarma: base64 of the hex",
        hmac_in(signed="{field:a}", algorithm="sha1", encoding="base64-hex"),
        {"X-Sign": b64(mac(b"1", "sha1").hex().encode())},
        changed=b'{"a": 2}',
    ),
    Case(
        "iyzico: the secret in the text of an HMAC",
        hmac_in(signed="{secret}{field:a}"),
        {"X-Sign": mac(KEY.encode() + b"1").hex()},
        changed=b'{"a": 2}',
    ),
    Case(
        "PayTR: a second secret in the text",
        {"kind": "hmac", "field": "hash", "encoding": "base64", "signed": "{field:id}{secret:salt}{field:sum}"},
        body=b"id=7&sum=100&hash=" + quote(b64(mac(f"7{SALT}100".encode()))).encode(),
        content_type=FORM,
        changed=b"id=7&sum=101&hash=" + quote(b64(mac(f"7{SALT}100".encode()))).encode(),
        more={"named": {"salt": "SALT"}},
    ),
    Case(
        "Mango Office: the JSON of a form field as it was sent, between two secrets",
        {"kind": "hash", "field": "sign", "signed": "{secret}{raw:json}{secret:salt}"},
        body=MANGO + MANGO_SIGN,
        content_type=FORM,
        changed=MANGO.replace(b"1.50", b"1.5") + MANGO_SIGN,
        more={"named": {"salt": "SALT"}, "json_values": ["json"]},
    ),
    Case(
        "LiqPay: base64 of JSON in a form field",
        {
            "kind": "hash",
            "field": "signature",
            "algorithm": "sha1",
            "encoding": "base64",
            "signed": "{secret}{raw:data}{secret}",
        },
        body=LIQPAY + LIQPAY_SIGN,
        content_type=FORM,
        changed=LIQPAY.replace(b"joxf", b"joyf") + LIQPAY_SIGN,
        more={"base64_json": ["data"]},
    ),
    *[
        Case(
            f"Mercado Pago: a time in {unit}",
            hmac_in(
                signed="id:{field:a};ts:{timestamp};",
                parts={"signature": "v1", "timestamp": "ts"},
                timestamp={"unit": "any"},
            ),
            {"X-Sign": f"ts={stamp},v1={mac(f'id:1;ts:{stamp};'.encode()).hex()}"},
            changed=b'{"a": 2}',
            is_old_refused=True,
        )
        for unit, stamp in {"seconds": STAMP, "milliseconds": f"{STAMP}250"}.items()
    ],
    *[
        Case(
            f"ed25519, the key as {name}",
            {"kind": "ed25519", "header": "X-Sign", **TIMED},
            {"X-Time": STAMP, "X-Sign": ED25519_SIGNATURE},
            secret=key,
            is_old_refused=True,
        )
        for name, key in {
            "hex": ED25519,
            "base64": b64(bytes.fromhex(ED25519)),
            "whpk_": f"whpk_{b64(bytes.fromhex(ED25519))}",
            "DER": ED25519_DER,
            "PEM": PEM.format(ED25519_DER),
            "PEM in one line": PEM.format(ED25519_DER).replace("\n", " "),
            "PEM with \\n": PEM.format(ED25519_DER).replace("\n", "\\n"),
        }.items()
    ],
    *[
        Case(
            f"ECDSA, the key as {name}",
            {"kind": "ecdsa", "header": "X-Sign", "encoding": "base64", **TIMED},
            {"X-Time": STAMP, "X-Sign": P256_SIGNATURE},
            secret=key,
            is_old_refused=True,
        )
        for name, key in {"DER": P256_DER, "PEM": PEM.format(P256_DER)}.items()
    ],
    *[
        Case(
            f"RSA with {algorithm}, the key as {name}",
            {"kind": "rsa", "algorithm": algorithm, "header": "X-Sign", "encoding": "base64", **TIMED},
            {"X-Time": STAMP, "X-Sign": RSA_SIGNATURES[algorithm]},
            secret=key,
            is_old_refused=True,
        )
        for algorithm, (name, key) in zip(
            RSA_SIGNATURES,
            {
                "DER": RSA_DER,
                "PEM": PEM.format(RSA_DER),
                "PEM in base64": b64(PEM.format(RSA_DER).encode()),
            }.items(),
            strict=True,
        )
    ],
]


def source_of(folder, verify, secret, **more):
    path = folder / "sources.yaml"
    entry = {"verify": verify, "secrets": ["SECRET"], "methods": ["GET", "POST"], **more}
    path.write_text(yaml.safe_dump({"sources": {"one": entry}}), "utf-8")
    return load_sources(path, {"SECRET": secret, "SALT": SALT})["one"]


def webhook_of(case, body=None, headers=None):
    sent = {"Content-Type": case.content_type, **(case.headers if headers is None else headers)}
    return Webhook(
        method=case.method,
        headers=sent,
        query_string=case.query,
        body=case.body if body is None else body,
        public_url=f"{URL.partition('?')[0]}?{case.query}",
    )


def reason(source: Source, webhook: Webhook, now: datetime = NOW) -> str:
    with pytest.raises(NotVerifiedError) as caught:
        source.verify(webhook, now)
    assert caught.value.reason in REASONS
    return caught.value.reason


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_right_proof_is_believed_and_nothing_else(tmp_path, case):
    source = source_of(tmp_path, case.verify, case.secret, **case.more)

    assert source.verify(webhook_of(case), NOW).source == "one"
    if case.changed != case.body:
        changed = webhook_of(case, case.body + b" " if case.changed is None else case.changed)
        if case.method == "GET":
            changed = replace(changed, query_string=changed.body.decode(), body=b"")
        assert reason(source, changed).endswith(("_mismatch", "_missing"))
    bare = replace(webhook_of(case, b"" if case.method == "GET" else b"{}", {}), query_string="")
    assert reason(source, bare).endswith("_missing")


@pytest.mark.parametrize("case", [case for case in CASES if case.is_old_refused], ids=lambda case: case.name)
def test_what_was_signed_too_long_ago_or_in_the_future_is_not_believed(tmp_path, case):
    source = source_of(tmp_path, case.verify, case.secret)

    assert reason(source, webhook_of(case), NOW + timedelta(seconds=302)) == "timestamp_stale"
    assert reason(source, webhook_of(case), NOW - timedelta(seconds=302)) == "timestamp_future"


def test_two_ways_in_one_place_any_of_which_suffices(tmp_path):
    ways = [
        {"kind": "hash", "header": "X-Sign", "signed": "{secret}{body}"},
        {"kind": "hash", "header": "X-Sign", "signed": "{secret}{method}{url}{body}"},
    ]
    source = source_of(tmp_path, ways, KEY)
    texts = [KEY.encode() + BODY, KEY.encode() + b"POST" + URL.encode() + BODY]

    for text in texts:
        headers = {"X-Sign": hashlib.sha256(text).hexdigest()}
        assert source.verify(Webhook(headers=headers, body=BODY, public_url=URL), NOW)
    assert reason(source, Webhook(headers={"X-Sign": "00"}, body=BODY, public_url=URL)) == "signature_mismatch"


def test_each_of_several_ways_may_have_secrets_of_its_own(tmp_path):
    path = tmp_path / "sources.yaml"
    ways = [
        {"kind": "token", "header": "X-A", "secrets": ["FIRST"]},
        {"kind": "token", "header": "X-B", "secrets": ["SECOND"]},
    ]
    path.write_text(yaml.safe_dump({"sources": {"one": {"verify": ways}}}))
    source = load_sources(path, {"FIRST": "one-secret", "SECOND": "another-secret"})["one"]

    assert source.verify(Webhook(headers={"X-A": "one-secret"}), NOW)
    assert source.verify(Webhook(headers={"X-B": "another-secret"}), NOW)
    assert reason(source, Webhook(headers={"X-B": "one-secret"})) == "token_mismatch"
    assert reason(source, Webhook()) == "proof_missing"


def test_a_proof_and_a_token_in_the_body_are_not_kept(tmp_path):
    ways = [{"kind": "token", "header": "X-Proof"}, {"kind": "token", "query": "t"}, {"kind": "token", "field": "t"}]
    source = source_of(tmp_path, ways, "pa ss/wörd")
    body = "t=pa+ss%2Fw%C3%B6rd&name=Ada"

    verified = source.verify(
        Webhook(headers={"Content-Type": FORM, "X-Note": "n"}, query_string="a=1", body=body.encode()), NOW
    )

    assert (verified.body, verified.query) == (b"t=***&name=Ada", "a=1")
    assert source.parse(verified) == {"t": "***", "name": "Ada"}
    assert "x-proof" not in verified.headers


@given(st.sampled_from(CASES), st.text(max_size=80), st.binary(max_size=80), st.text("ab=&%25[]t", max_size=40))
def test_nothing_that_is_made_up_is_believed_or_makes_it_fail(shapes, case, text, body, query):
    headers = {"Content-Type": case.content_type, "Authorization": text, "X-Sign": text, "X-Time": text, "X-Id": text}
    for headers_sent in (headers, {**headers, "X-Time": STAMP}):
        webhook = Webhook(case.method, headers_sent, query, body, public_url=f"{URL}{query}")
        with pytest.raises(NotVerifiedError):
            shapes[case.name].verify(webhook, NOW)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """A source for each case."""
    folder = tmp_path_factory.mktemp("shapes")
    return {case.name: source_of(folder, case.verify, case.secret, **case.more) for case in CASES}
