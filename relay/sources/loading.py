"""Makes sources of config/sources.yaml and the environment. The only place where a source's secrets are read."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relay.configuration.files import ConfigFile, Place, read_yaml
from relay.configuration.settings import read_secret
from relay.core.errors import ConfigError, Mistake
from relay.sources.dedup import Dedup
from relay.sources.schemas import SourcesSchema
from relay.sources.secret_names import is_secret_name
from relay.sources.source import MAX_BODY, OPEN_LIMIT, OPEN_MAX_BODY, Limit, Source
from relay.sources.verifiers import Clock, HmacVerifier, NoVerifier, TokenVerifier, Verifier


def load_sources(path: Path, environ: Mapping[str, str]) -> dict[str, Source]:
    """The sources of this file by name. Raises ConfigError with every mistake, a missing secret among them."""
    config = read_yaml(path)
    entries = config.check(SourcesSchema())["sources"]
    loader = _Loader(config, environ)
    sources = {name: loader.source(name, entry) for name, entry in entries.items()}
    if loader.mistakes:
        raise ConfigError(loader.mistakes)
    return sources


class _Loader:
    """Makes one source after another and remembers what was wrong."""

    def __init__(self, config: ConfigFile, environ: Mapping[str, str]) -> None:
        self.config = config
        self.environ = environ
        self.mistakes: list[Mistake] = []

    def source(self, name: str, entry: Mapping[str, Any]) -> Source:
        place: Place = ("sources", name)
        is_open = entry["verify"]["kind"] == "none"
        limit = Limit(entry["limit"]["events"], entry["limit"]["size"]) if entry["limit"] else None
        return Source(
            name=name,
            verifier=self._verifier((*place, "verify"), entry["verify"]),
            dedup=self._dedup((*place, "dedup"), entry["dedup"], entry["verify"]),
            max_body=entry["max_body"] or (OPEN_MAX_BODY if is_open else MAX_BODY),
            limit=limit or (OPEN_LIMIT if is_open else None),
            success_status=entry["success_status"],
            methods=entry["methods"],
            on_invalid=entry["on_invalid"],
            json_field=entry["json_field"],
        )

    def _verifier(self, place: Place, verify: Mapping[str, Any]) -> Verifier:
        if verify["kind"] == "none":
            return NoVerifier()
        secrets = [self._secret((*place, "secrets"), name) for name in verify["secrets"]]
        if verify["kind"] == "token":
            return _token(verify, tuple(secret.encode("utf-8") for secret in secrets))
        return _hmac(verify, tuple(self._key(place, verify, secret) for secret in secrets))

    def _secret(self, place: Place, name: str) -> str:
        try:
            secret = read_secret(self.environ, name) or ""
        except ConfigError as error:
            self.mistakes.extend(error.mistakes)
            return ""
        if not secret:
            wrong = f"{name} is not set (nor {name}_FILE): expected the secret that the sender was given"
            self.mistakes.append(self.config.mistake(place, wrong))
        return secret

    def _key(self, place: Place, verify: Mapping[str, Any], secret: str) -> bytes:
        if verify["key"] == "text":
            return secret.encode("utf-8")
        try:
            # Standard Webhooks writes its keys as whsec_ and base64.
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            self.mistakes.append(self.config.mistake((*place, "secrets"), "a secret is not base64, as key says it is"))
            return b""

    def _dedup(self, place: Place, dedup: Mapping[str, Any] | None, verify: Mapping[str, Any]) -> Dedup | None:
        if dedup is None:
            return None
        header = dedup["header"].lower() if dedup["header"] else None
        if header and (is_secret_name(header) or header == (verify.get("header") or "").lower()):
            wrong = "this header is a secret and is not kept: expected one that only identifies"
            self.mistakes.append(self.config.mistake((*place, "header"), wrong))
        return Dedup(dedup["window_s"], dedup["search"], header, dedup["whole_body"])


def _token(verify: Mapping[str, Any], secrets: tuple[bytes, ...]) -> TokenVerifier:
    header = verify["header"].lower() if verify["header"] else None
    prefix = verify["prefix"]
    if prefix is None:
        prefix = "Bearer " if header == "authorization" else ""
    return TokenVerifier(secrets, header, verify["query"], prefix)


def _hmac(verify: Mapping[str, Any], secrets: tuple[bytes, ...]) -> HmacVerifier:
    clock, parts = verify["timestamp"], verify["parts"]
    separator = verify["separator"] or ("," if parts else None)
    return HmacVerifier(
        secrets=secrets,
        proof_header=verify["header"].lower(),
        algorithm=verify["algorithm"],
        encoding=verify["encoding"],
        prefix=verify["prefix"],
        template=verify["signed"],
        separator=separator,
        parts=(parts["signature"], parts["timestamp"]) if parts else None,
        clock=Clock(clock["header"], 1000 if clock["unit"] == "ms" else 1, clock["tolerance"]) if clock else None,
        id_header=verify["id_header"],
        key=verify["key"],
    )
