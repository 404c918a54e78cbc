"""Reads the secrets of sources from the environment: the only place where that is done. Prints none of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from relay.configuration.files import ConfigFile, Place
from relay.configuration.settings import read_named_secret
from relay.core.faults import Fault, fault
from relay.sources.building import PUBLIC_KEY, build_way
from relay.sources.proof.key_shapes import Shape, is_private, shape_of


class SecretReader:
    """Reads what one configuration names. environ: None: no secret is looked at, and each is taken to be there."""

    def __init__(self, config: ConfigFile, environ: Mapping[str, str] | None) -> None:
        self._config = config
        self._environ = environ

    def read(self, place: Place, name: str) -> bytes | None:
        """The secret of this name; None where it cannot be had, which is noted then."""
        if self._environ is None:
            return None
        missing = fault("sender_secret_missing", name=name)
        secret = read_named_secret(self._config, place, self._environ, name, missing)
        return None if secret is None else secret.encode("utf-8")

    def read_all(self, place: Place, names: Sequence[str]) -> dict[str, bytes]:
        """Each by its name, but for those that cannot be had."""
        found = ((name, self.read(place, name)) for name in names)
        return {name: secret for name, secret in found if secret is not None}

    def fitting(
        self, place: Place, ways: Sequence[Mapping[str, Any]], own: Sequence[Mapping[str, bytes]]
    ) -> list[list[bytes]]:
        """For each way those of its secrets that are for it; what is for none of them is noted.

        A list of ways shares its secrets, of which some are the sender's public keys: these go to no other way, for
        with a public key as the key of an HMAC anybody could sign.
        """
        kinds = {way["kind"] for way in ways}
        is_mixed = bool(kinds & set(PUBLIC_KEY)) and bool(kinds - set(PUBLIC_KEY))
        return [
            [secret for name, secret in secrets.items() if self._fits(place, way, name, secret, is_mixed=is_mixed)]
            for way, secrets in zip(ways, own, strict=True)
        ]

    def _fits(self, place: Place, way: Mapping[str, Any], name: str, secret: bytes, *, is_mixed: bool) -> bool:
        text = secret.decode("utf-8")
        shape, takes_public = shape_of(text), way["kind"] in PUBLIC_KEY
        if is_private(text):
            return self._wrong(place, fault("secret_is_private_key", name=name))
        if is_mixed and shape is Shape.EITHER:
            return self._wrong(place, fault("secret_of_either_kind", name=name))
        if is_mixed and takes_public != (shape is Shape.PUBLIC):
            return False
        if not takes_public and shape is Shape.PUBLIC:
            return self._wrong(place, fault("secret_is_public_key", name=name))
        if way["kind"] == "basic" and ":" not in text:
            return self._wrong(place, fault("secret_without_colon", name=name))
        try:
            build_way(way, [secret])
        except ValueError:
            return self._wrong(place, self._unreadable(way, name))
        return True

    def _unreadable(self, way: Mapping[str, Any], name: str) -> Fault:
        if way["kind"] in PUBLIC_KEY:
            return fault("secret_no_public_key", name=name, kind=way["kind"])
        return fault("secret_no_key", name=name, key=way["key"])

    def _wrong(self, place: Place, wrong: Fault) -> bool:
        self._config.add_mistake(place, wrong)
        return False
