"""A command for a shell that sends a sample to a source, proven as the source wants it. Pure; shows no secret.

The secret is a variable of the shell, SECRET or TOKEN (`name:password` for HTTP Basic), for whoever has it to set.
Needs curl and openssl, nothing else.
"""

from __future__ import annotations

from shlex import quote
from urllib.parse import quote_plus

from relay.sources import Source
from relay.sources.proof.signatures import HmacVerifier
from relay.sources.proof.verifier import BasicVerifier, TokenVerifier, Way

BODY = '{"lead": {"id": 1}}'
HEX = "od -An -v -tx1 | tr -d ' \\n'"
"""Bytes as hexadecimal digits."""
TIMES = {"s": "TIME=$(date +%s)", "ms": "TIME=$(date +%s)000", "iso": "TIME=$(date -u +%Y-%m-%dT%H:%M:%SZ)"}
VARIABLES = {"body": "$BODY", "timestamp": "$TIME", "id": "$ID", "method": "$METHOD", "url": "$URL"}


def snippet_of(source: Source, url: str) -> str:
    """The command, a line each step; where a shell cannot sign so, the one of the relay that can."""
    way = next((way for way in source.verifier.ways if _can_be_shown(way)), None)
    if way is None and not source.is_open:
        return f"python -m relay sources test {source.name}"
    method = source.methods[0]
    address, headers, before = quote(url), ["-H 'Content-Type: application/json'"], [f"BODY={quote(BODY)}"]
    if isinstance(way, BasicVerifier):
        headers.append('-u "$TOKEN"')
    elif isinstance(way, TokenVerifier):
        if way.place.header:
            headers.append(_header(way.place.header, way.prefix, "$TOKEN"))
        else:
            before.append(f"ENCODED=$(printf %s \"$TOKEN\" | {HEX} | sed 's/../%&/g')")
            name = quote_plus(way.place.query or "")
            address = quote(f"{url}?{name}={quote_plus(way.prefix)}") + '"$ENCODED"'
    elif isinstance(way, HmacVerifier):
        before += _signing(way, method, url)
        headers += _proof(way)
    return "\n".join([*before, " \\\n  ".join([f"curl -X {method} {address}", *headers, '--data-binary "$BODY"'])])


def _can_be_shown(way: Way) -> bool:
    """Whether a shell with curl and openssl can prove itself so."""
    if isinstance(way, HmacVerifier):
        is_timed = way.clock is None or way.clock.place is None or bool(way.clock.place.header)
        return bool(way.place.header) and way.signed.kinds <= VARIABLES.keys() and is_timed and not way.body_digest
    return isinstance(way, BasicVerifier) or (isinstance(way, TokenVerifier) and way.place.field is None)


def _signing(verifier: HmacVerifier, method: str, url: str) -> list[str]:
    """Sets what is signed, and SIGNATURE."""
    names = verifier.signed.kinds
    told = {
        "timestamp": TIMES[verifier.clock.unit if verifier.clock else "s"],
        "id": "ID=sample-$(date +%s)",
        "method": f"METHOD={method}",
        "url": f"URL={quote(url)}",
    }
    pieces = [f'"{VARIABLES[part.kind]}"' if part.kind else quote(part.argument) for part in verifier.signed.parts]
    before, key = [], '-hmac "$SECRET"'
    if verifier.key == "hex":
        key = '-mac HMAC -macopt hexkey:"$SECRET"'
    elif verifier.key == "base64":
        key = '-mac HMAC -macopt hexkey:"$KEY"'
        before.append(f'KEY=$(printf %s "${{SECRET#whsec_}}" | openssl base64 -d -A | {HEX})')
    digest = f"printf %s {' '.join(pieces)} | openssl dgst -{verifier.algorithm} {key}"
    # In one line (-A): base64 alone breaks lines after 76 characters, in the middle of a SHA-512.
    end = {
        "hex": " -r | cut -d ' ' -f 1",
        "base64": " -binary | openssl base64 -A",
        "base64url": " -binary | openssl base64 -A | tr '+/' '-_' | tr -d =",
    }
    return [*before, *(told[name] for name in told if name in names), f"SIGNATURE=$({digest}{end[verifier.encoding]})"]


def _proof(verifier: HmacVerifier) -> list[str]:
    """The headers that carry the signature and what was signed with it."""
    headers = []
    if verifier.parts:
        signature, time = verifier.parts
        stamp = f'{quote(f"{time}=")}"$TIME"{quote(verifier.separator or ",")}' if time else ""
        field = f'{stamp}{quote(f"{signature}={verifier.prefix}")}"$SIGNATURE"'
        headers.append(f"-H {quote(f'{verifier.place.header}: ')}{field}")
    else:
        headers.append(_header(verifier.place.header or "", verifier.prefix, "$SIGNATURE"))
    if verifier.clock and verifier.clock.place and verifier.clock.place.header:
        headers.append(_header(verifier.clock.place.header, "", "$TIME"))
    if verifier.id_header:
        headers.append(_header(verifier.id_header, "", "$ID"))
    return headers


def _header(name: str, prefix: str, variable: str) -> str:
    return f'-H {quote(f"{name}: {prefix}")}"{variable}"'
