"""Profiles: what a kind of sender needs, one YAML file a sender, shipped beside this module or the operator's own.

A profile is read through the schema that a source is read through, and only where it is used; whatever is wrong with it
is a mistake in its file. It holds no secrets, and no code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relay.configuration.fields import NAME, suggestion
from relay.configuration.files import ConfigFile, Place, read_yaml
from relay.configuration.mistakes import Mistakes
from relay.configuration.texts import is_file, yaml_files
from relay.core.errors import Mistake
from relay.core.faults import Fault, fault
from relay.sources.building import build_verifier
from relay.sources.proof.verifier import Verifier
from relay.sources.proof_schemas import NEEDS_SECRETS
from relay.sources.schemas import ContractSchema, ProfileSchema
from relay.sources.secret_names import is_secret_name
from relay.sources.templater import NAMED

SHIPPED = Path(__file__).parent / "profiles"
SUFFIX = ".yaml"
OWN_PROFILES = "profiles"
"""The folder of the operator's profiles, beside sources.yaml."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile. written: the keys that its file has; content: all of them, checked.

    budget_s: how long the sender waits for an answer, in seconds; None: it does not say. repeats, thin: in words.
    """

    name: str
    file: Path
    content: Mapping[str, Any] = field(repr=False)

    @property
    def contract(self) -> dict[str, Any]:
        """What a source takes of it."""
        return {name: self.content[name] for name in ("verify", *ContractSchema().fields)}

    @property
    def title(self) -> str:
        return str(self.content["title"])

    @property
    def docs(self) -> list[str]:
        return list(self.content["docs"])

    @property
    def steps(self) -> list[str]:
        return list(self.content["steps"])

    @property
    def budget_s(self) -> float | None:
        budget: float | None = self.content["budget"]
        return budget

    @property
    def repeats(self) -> str:
        return str(self.content["repeats"])

    @property
    def thin(self) -> str | None:
        thin: str | None = self.content["thin"]
        return thin

    @property
    def verifier(self) -> Verifier:
        """Its ways of proof, without secrets."""
        ways = self.content["verify"]
        return build_verifier(ways, [()] * len(ways))

    @property
    def needs_secrets(self) -> bool:
        """Whether a source that uses it has to name secrets."""
        keeps = any(probe.keeps for probe in self.content["probes"])
        return not keeps and any(way["kind"] in NEEDS_SECRETS for way in self.content["verify"])

    @property
    def named_secrets(self) -> list[str]:
        """The further secrets that a source which uses it has to name: verify_token, confirmation."""
        return sorted(needed_names(self.content))

    def entry(self, source: str) -> str:
        """What to write into sources.yaml for a source of this name that uses it."""
        variable = f"SOURCE_{source.upper().replace('-', '_')}"
        keys = [f"profile: {self.name}"]
        if self.needs_secrets:
            keys.append(f"secrets: [{variable}_SECRET]")
        keys += [f"{name}: {variable}_{name.upper()}" for name in self.named_secrets]
        return f"  {source}: {{{', '.join(keys)}}}"

    @property
    def dedup_words(self) -> str:
        """What makes two webhooks the same one."""
        dedup = self.content["dedup"]
        if dedup is None:
            return "nothing: each is an event of its own"
        what = dedup["expression"].text if dedup["expression"] else f"the header {dedup['header']}"
        return f"{'its whole body' if dedup['whole_body'] else what}, for {dedup['window_s'] / 3600:g} h"

    @property
    def sample(self) -> Mapping[str, Any]:
        """method, query, headers, type and body of what `sources test` sends."""
        sample: Mapping[str, Any] = self.content["sample"]
        return sample


class Profiles:
    """The profiles that a configuration may use. own: the operator's folder, which may be missing."""

    def __init__(self, own: Path | None) -> None:
        self._own = own
        self._read: dict[str, Profile | None] = {}

    @property
    def names(self) -> list[str]:
        """Every name, in order."""
        return sorted({*_names(SHIPPED), *(_names(self._own) if self._own else ())})

    def get(self, name: str, mistakes: Mistakes) -> Profile | None:
        """The profile of this name; None where there is none, or where it has a mistake, which is noted then."""
        if name not in self._read:
            file = self.file(name)
            self._read[name] = _load(name, file, mistakes) if file else None
        return self._read[name]

    def is_known(self, name: str) -> bool:
        """Whether there is such a profile, whatever is wrong with it."""
        return self.file(name) is not None

    def check_own(self, mistakes: Mistakes) -> None:
        """Note every mistake in the operator's folder, whether a source uses its profiles or not."""
        for name in _names(self._own) if self._own else ():
            file = self._own_file(name)
            if name in _names(SHIPPED):
                mistakes.add(Mistake(str(file), 0, fault("shipped_profile", name=name)))
            elif not NAME.fullmatch(name):
                mistakes.add(Mistake(str(file), 0, fault("not_a_profile_name", name=repr(name))))
            else:
                self.get(name, mistakes)

    def unknown(self, name: str) -> Fault:
        """The fault of a name that is none."""
        return fault("unknown_profile", name=repr(name), hint=suggestion(name, self.names))

    def file(self, name: str) -> Path | None:
        """Its file; None where there is none."""
        if not NAME.fullmatch(name):
            return None
        shipped = SHIPPED / f"{name}{SUFFIX}"
        if shipped.is_file():
            return shipped
        own = self._own_file(name)
        return own if own and is_file(own) else None

    def _own_file(self, name: str) -> Path | None:
        return self._own / f"{name}{SUFFIX}" if self._own else None


def check_dedup(config: ConfigFile, place: Place, contract: Mapping[str, Any]) -> None:
    """Note where a dedup looks at what is not kept."""
    dedup = contract.get("dedup") or {}
    expression = dedup.get("expression")
    looked_at = {"header": {(dedup.get("header") or "").lower()}, "query": set()}
    if expression:
        looked_at = {"header": expression.members_of("headers"), "query": expression.members_of("query")}
    for kind, names in looked_at.items():
        proofs = {(way.get(kind) or "").lower() for way in contract.get("verify") or ()}
        if any(name and (is_secret_name(name) or name.lower() in proofs) for name in names):
            wrong = fault("header_is_secret") if kind == "header" else fault("query_is_secret")
            config.add_mistake((*place, "dedup", "from" if expression else "header"), wrong)


def needed_names(contract: Mapping[str, Any]) -> set[str]:
    """The named secrets that probes and answers use."""
    probes = contract.get("probes", ())
    answers = [probe.answer for probe in probes] + [one for one in [contract.get("answer")] if one]
    used = {name for answer in answers for name in answer.secrets if name in NAMED}
    return used | {probe.secret for probe in probes if probe.secret}


def _names(folder: Path) -> list[str]:
    return [file.stem for file in yaml_files(folder) if file.suffix == SUFFIX]


def _load(name: str, file: Path, mistakes: Mistakes) -> Profile | None:
    config = read_yaml(file, mistakes)
    if config is None:
        return None
    content = config.check(ProfileSchema())
    check_dedup(config, (), content)
    return Profile(name, file, content) if config.is_right else None
