"""Makes sources of config/sources.yaml, the profiles that it names, and the environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from relay.configuration.files import ConfigFile, Place, read_yaml
from relay.configuration.mistakes import Mistakes, collecting
from relay.core.faults import Fault, fault
from relay.sources.building import build_source, build_verifier
from relay.sources.probes import Probe
from relay.sources.profile_files import OWN_PROFILES, Profiles, check_dedup, needed_names
from relay.sources.proof_schemas import NEEDS_SECRETS, Verify, is_whole
from relay.sources.schema_fields import A_VARIABLE, SOME_VARIABLES
from relay.sources.schemas import SourcesSchema
from relay.sources.secret_reading import SecretReader
from relay.sources.source import Source
from relay.sources.templater import NAMED, SIGNING, Answer


def load_sources(
    path: Path, environ: Mapping[str, str] | None, mistakes: Mistakes | None = None, only: str | None = None
) -> dict[str, Source]:
    """The sources of this file by name; none if it has any mistake, a missing secret among them.

    environ: None: no secret is looked at; sources made so can read and answer, and believe nobody. only: the one source
    whose secrets are needed. Mistakes are added to those that were handed down; else ConfigError is raised with every
    one.
    """
    with collecting(mistakes) as found:
        profiles = Profiles(path.parent / OWN_PROFILES)
        profiles.check_own(found)
        config = read_yaml(path, found)
        if config is None:
            return {}
        loaded = config.check(SourcesSchema()).get("sources", {})
        sources = {
            name: _Entry(config, name, entry, profiles).build(environ if only in {None, name} else None)
            for name, entry in loaded.items()
        }
        return {name: source for name, source in sources.items() if source} if config.is_right else {}


class _Entry:
    """One source as it is read. Of an entry with mistakes, any key may be missing."""

    def __init__(self, config: ConfigFile, name: str, entry: Mapping[str, Any], profiles: Profiles) -> None:
        self._config, self._name, self._profiles = config, name, profiles
        self._place: Place = ("sources", name)
        self._written = _map_in(_map_in(config.content, "sources"), name)
        merged = self._merged(entry)
        self._contract = _whole_parts(merged) if merged else None

    def _merged(self, entry: Mapping[str, Any]) -> dict[str, Any] | None:
        """What entry and profile say together; None where the profile cannot be had, which is noted then."""
        name = entry.get("profile")
        if name is None:
            if "profile" in entry and "verify" not in self._written:
                self._wrong(("verify",), fault("missing_verify", expected=Verify.expected))
                return {**entry, "verify": None}
            return dict(entry)
        if not self._profiles.is_known(name):
            self._wrong(("profile",), self._profiles.unknown(name))
            return None
        profile = self._profiles.get(name, self._config.mistakes)
        if profile is None:
            return None
        own = {key: value for key, value in entry.items() if key in self._written or key not in profile.contract}
        return {**profile.contract, **own}

    def build(self, environ: Mapping[str, str] | None) -> Source | None:
        """The source; None where it has a mistake, which is noted then."""
        contract = self._contract
        if contract is None:
            return None
        secrets = SecretReader(self._config, environ)
        ways = contract.get("verify") or []
        keys = self._keys(secrets, ways, contract)
        usable = secrets.fitting(self._place_of_secrets(), ways, keys) if all(map(is_whole, ways)) else []
        named = self._named(secrets, contract)
        check_dedup(self._config, self._place, contract)
        if contract.get("thanks") and "form" in contract and contract["form"] is None:
            self._wrong(("thanks",), fault("expected_form_beside"))
        if not self._config.is_right or not ways:
            return None
        first = next((given for own in keys for given in own.values()), b"")
        return build_source(self._name, contract, build_verifier(ways, usable), {SIGNING: first, **named})

    def _keys(
        self, secrets: SecretReader, ways: Sequence[Mapping[str, Any]], contract: Mapping[str, Any]
    ) -> list[dict[str, bytes]]:
        """The secrets of each way, by the names of their variables."""
        shared = contract.get("secrets") or ()
        given = secrets.read_all((*self._place, "secrets"), shared)
        if shared and ways and not any(way["kind"] in NEEDS_SECRETS for way in ways if "kind" in way):
            self._wrong(("secrets",), fault("secrets_unneeded"))
        found = []
        for index, way in enumerate(ways):
            place = (*self._place, "verify", *((index,) if self._has_list else ()), "secrets")
            # Of a way with a mistake in this key it is missing, and that has been noted.
            own = way.get("secrets", () if "verify" in self._written else None)
            if own is None and not shared and way.get("kind") in NEEDS_SECRETS and not _keeps(contract):
                self._missing_secrets(place)
            found.append(given if own is None else secrets.read_all(place, own))
        return found

    def _named(self, secrets: SecretReader, contract: Mapping[str, Any]) -> dict[str, bytes]:
        """What verify_token and confirmation name, where probes and answers need them."""
        needed, found = needed_names(contract), {}
        for name in NAMED:
            variable = contract.get(name)
            if variable is not None and (secret := secrets.read((*self._place, name), variable)) is not None:
                found[name] = secret
            if variable is None and name in needed and name in contract:
                self._wrong((name,), fault("missing_for_probe", expected=A_VARIABLE))
            if variable is not None and name not in needed and "probes" in contract:
                self._wrong((name,), fault("secret_unneeded"))
        return found

    @property
    def _has_list(self) -> bool:
        return isinstance(self._written.get("verify"), list)

    def _place_of_secrets(self) -> Place:
        own = "verify" in self._written and "secrets" not in self._written
        return (*self._place, "verify", "secrets") if own else (*self._place, "secrets")

    def _missing_secrets(self, place: Place) -> None:
        where = place if "verify" in self._written else (*self._place, "secrets")
        self._config.add_mistake(where, fault("missing", expected=SOME_VARIABLES))

    def _wrong(self, place: Place, wrong: Fault) -> None:
        self._config.add_mistake((*self._place, *place), wrong)


def _whole_parts(contract: dict[str, Any]) -> dict[str, Any]:
    """Without the probes and the answer that have a mistake, which are no objects then."""
    probes, answer = contract.get("probes", []), contract.get("answer")
    wrong = {"probes"} if not all(isinstance(probe, Probe) for probe in probes) else set()
    wrong |= {"answer"} if answer is not None and not isinstance(answer, Answer) else set()
    return {name: value for name, value in contract.items() if name not in wrong}


def _keeps(contract: Mapping[str, Any]) -> bool:
    return any(probe.keeps for probe in contract.get("probes", ()))


def _map_in(content: Any, name: str) -> Mapping[str, Any]:
    inner = content.get(name) if isinstance(content, dict) else None
    return inner if isinstance(inner, dict) else {}
