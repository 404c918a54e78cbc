"""From files to sources: profiles, secrets from the environment, config/sources.yaml, and the sources made of them.

A profile says what a kind of sender needs. It is one YAML file, shipped beside this module or the operator's own. It is
read with the schema of a source, and only where it is used; what is wrong with it is a mistake in its file. It holds no
secrets and no code. Secrets of sources are read here and nowhere else, and none is printed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from relay.configuration.expressions import Expression
from relay.configuration.fields import NAME, suggestion
from relay.configuration.files import ConfigFile, KeyPath, Mistakes, collecting, is_file, read_yaml, yaml_files
from relay.configuration.settings import FEWEST_DIFFERENT, read_named_secret, read_secret
from relay.core.errors import ConfigError, Mistake
from relay.core.faults import Fault, fault
from relay.sources.addresses import Network
from relay.sources.answers import NAMED, SIGNING, Answer, Probe, Secrets
from relay.sources.bodies import MOST_OF_BATCH, BodyReader
from relay.sources.events import Dedup
from relay.sources.proof.signatures import HS256, Clock, HashVerifier, HmacVerifier, Shape, is_private, shape_of
from relay.sources.proof.verifier import BasicVerifier, Location, NoVerifier, Several, TokenVerifier, Verifier, Way
from relay.sources.redaction import is_secret_name
from relay.sources.schemas import (
    A_VARIABLE,
    NEEDS_SECRETS,
    PUBLIC_KEY,
    SOME_VARIABLES,
    ContractSchema,
    ProfileSchema,
    SourcesSchema,
    Verify,
    is_whole,
    named_secrets,
)
from relay.sources.source import MAX_BODY, OPEN_LIMIT, OPEN_MAX_BODY, Limit, Source
from relay.sources.visitors import Form

SHIPPED = Path(__file__).parent / "profiles"
SUFFIX = ".yaml"
OWN_PROFILES = "profiles"
"""The folder of the operator's profiles, beside sources.yaml."""


NO_SECRETS: Secrets = {}


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile. content: all of its keys, checked.

    budget_s: how long the sender waits for an answer, in seconds; None: unknown. repeats, thin: in words.
    """

    name: str
    file: Path
    content: Mapping[str, Any] = field(repr=False)

    @property
    def contract(self) -> dict[str, Any]:
        """The part that a source takes over."""
        return {name: self.content[name] for name in ("verify", *ContractSchema().fields)}

    @property
    def title(self) -> str:
        return str(self.content["title"])

    @property
    def kind(self) -> str:
        return str(self.content["kind"])

    @property
    def countries(self) -> tuple[str, ...]:
        """The countries in which the sender is used (ISO 3166, two letters); empty: everywhere."""
        return tuple(self.content["countries"])

    @property
    def names(self) -> tuple[str, ...]:
        """Other spellings of the title."""
        return tuple(self.content["names"])

    @property
    def doubts(self) -> list[str]:
        """The facts that nobody has confirmed, in sentences."""
        return list(self.content["doubtful"])

    @property
    def places(self) -> Mapping[str, Expression]:
        """The places of the values that most rules need, by their names (schemas.py, PLACED)."""
        places: Mapping[str, Expression] = self.content["places"]
        return places

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
    def addresses(self) -> tuple[Network, ...]:
        """The networks that the sender sends from; none: any."""
        addresses: tuple[Network, ...] = self.content["addresses"]
        return addresses

    @property
    def needs_secrets(self) -> bool:
        """Whether a source that uses it has to name secrets."""
        keeps = any(probe.keeps for probe in self.content["probes"])
        return not keeps and any(way["kind"] in NEEDS_SECRETS for way in self.content["verify"])

    @property
    def named_secrets(self) -> list[str]:
        """The further secrets that a source which uses it has to name: verify_token, confirmation, its own names."""
        return sorted(needed_names(self.content) | named_secrets(self.content))

    @property
    def sender_makes(self) -> tuple[str, ...]:
        """The secrets that the sender makes: `secret`, `verify_token`, `confirmation`, or a name of its own."""
        return tuple(self.content["sender_makes"])

    def variables(self, source: str) -> dict[str, str]:
        """The environment variables that a source of this name needs, by the word for each in the steps."""
        prefix = f"SOURCE_{source.upper().replace('-', '_')}"
        words = [*(["secret"] if self.needs_secrets else []), *self.named_secrets]
        return {word: f"{prefix}_{word.upper()}" for word in words}

    @property
    def takes_pair(self) -> bool:
        """Whether its secret is a name and a password, joined by a colon."""
        return any(way["kind"] == "basic" for way in self.content["verify"])

    def is_entered(self, word: str) -> bool:
        """Whether a secret made here can be entered at the sender; else the sender makes it, or it is a pair."""
        return word not in self.sender_makes and not (word == "secret" and self.takes_pair)

    def filled_steps(self, values: Mapping[str, str]) -> list[str]:
        """The steps with their words filled in: url, and the name or the value of each secret."""
        steps = list(self.steps)
        for word, value in values.items():
            steps = [step.replace(f"{{{word}}}", value).replace(f"{{secret:{word}}}", value) for step in steps]
        return steps

    def value(self, source: str) -> str:
        """The value of the entry for a source of this name that uses it, as YAML of one line."""
        keys, named = [f"profile: {self.name}"], []
        for word, variable in self.variables(source).items():
            if word in named_secrets(self.content):
                named.append(f"{word}: {variable}")
            else:
                keys.append(f"secrets: [{variable}]" if word == "secret" else f"{word}: {variable}")
        if named:
            keys.append(f"named: {{{', '.join(named)}}}")
        return f"{{{', '.join(keys)}}}"

    def entry(self, source: str) -> str:
        """The entry of sources.yaml for a source of this name that uses it."""
        return f"  {source}: {self.value(source)}"

    @property
    def dedup_words(self) -> str:
        """How duplicates are recognised, in words."""
        dedup = self.content["dedup"]
        if dedup is None:
            return "nothing: each is an event of its own"
        what = dedup["expression"].text if dedup["expression"] else f"the header {dedup['header']}"
        return f"{'its whole body' if dedup['whole_body'] else what}, for {dedup['window_s'] / 3600:g} h"

    @property
    def sample(self) -> Mapping[str, Any]:
        """Method, query, headers, type and body that `sources test` sends."""
        sample: Mapping[str, Any] = self.content["sample"]
        return sample


class Profiles:
    """The profiles that a configuration may use. own: the operator's folder, which need not exist."""

    def __init__(self, own: Path | None) -> None:
        self._own = own
        self._read: dict[str, Profile | None] = {}

    @property
    def names(self) -> list[str]:
        """Every name, in order."""
        return sorted({*_names(SHIPPED), *(_names(self._own) if self._own else ())})

    def get(self, name: str, mistakes: Mistakes) -> Profile | None:
        """The profile of this name; None if there is none, or if it has a mistake, which is then noted."""
        if name not in self._read:
            file = self.file(name)
            self._read[name] = (_SHIPPED_READ.get(file) or _load(name, file, mistakes)) if file else None
        return self._read[name]

    def every(self, mistakes: Mistakes) -> list[Profile]:
        """Every profile without a mistake, by its name."""
        return [profile for name in self.names if (profile := self.get(name, mistakes))]

    def is_known(self, name: str) -> bool:
        """Whether there is such a profile, even with mistakes."""
        return self.file(name) is not None

    def check_own(self, mistakes: Mistakes) -> None:
        """Note every mistake in the operator's folder, also in profiles that no source uses."""
        for name in _names(self._own) if self._own else ():
            file = self._own_file(name)
            if name in _names(SHIPPED):
                mistakes.add(Mistake(str(file), 0, fault("shipped_profile", name=name)))
            elif not NAME.fullmatch(name):
                mistakes.add(Mistake(str(file), 0, fault("not_a_profile_name", name=repr(name))))
            else:
                self.get(name, mistakes)

    def unknown(self, name: str) -> Fault:
        """The fault of an unknown name."""
        return fault("unknown_profile", name=repr(name), hint=suggestion(name, self.names))

    def file(self, name: str) -> Path | None:
        """Its file; None if there is none."""
        if not NAME.fullmatch(name):
            return None
        shipped = SHIPPED / f"{name}{SUFFIX}"
        if shipped.is_file():
            return shipped
        own = self._own_file(name)
        return own if own and is_file(own) else None

    def _own_file(self, name: str) -> Path | None:
        return self._own / f"{name}{SUFFIX}" if self._own else None


def check_kept(config: ConfigFile, place: KeyPath, contract: Mapping[str, Any]) -> None:
    """Note a dedup key that reads a value which is not kept, and a token that would be kept."""
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
    if contract.get("base64_json") and any(
        way.get("kind") == "token" and way.get("field") for way in contract.get("verify") or ()
    ):
        config.add_mistake((*place, "base64_json"), fault("expected_token_outside"))


def needed_names(contract: Mapping[str, Any]) -> set[str]:
    """The secrets of NAMED that proofs, probes and answers use."""
    probes = contract.get("probes", ())
    answers = [probe.answer for probe in probes] + [one for one in [contract.get("answer")] if one]
    used = {name for answer in answers for name in answer.secrets if name in NAMED}
    signed = [way["signed"] for way in contract.get("verify") or () if way.get("signed")]
    used |= {name for one in signed for name in one.named_secrets if name in NAMED}
    return used | {probe.secret for probe in probes if probe.secret}


def _names(folder: Path) -> list[str]:
    return [file.stem for file in yaml_files(folder) if file.suffix == SUFFIX]


def _load(name: str, file: Path, mistakes: Mistakes) -> Profile | None:
    config = read_yaml(file, mistakes)
    if config is None:
        return None
    content = config.check(ProfileSchema())
    check_kept(config, (), content)
    if not config.is_right:
        return None
    profile = Profile(name, file, content)
    if file.parent == SHIPPED:
        _SHIPPED_READ[file] = profile
    return profile


_SHIPPED_READ: dict[Path, Profile] = {}
"""Shipped profiles by their files: they change with the program only, and to read all of them takes a second."""


def _takes_public_key(way: Mapping[str, Any]) -> bool:
    """Whether the secret of a way is the sender's public key."""
    return way["kind"] in PUBLIC_KEY or (way["kind"] == "jwt" and way["algorithm"] != HS256)


def build_source(name: str, contract: Mapping[str, Any], verifier: Verifier, secrets: Secrets) -> Source:
    """Make the source of this name. contract: its entry merged with its profile."""
    is_open = not verifier.ways
    limit, form = contract["limit"], contract["form"]
    source = Source(
        name=name,
        verifier=verifier,
        dedup=_dedup(contract["dedup"]) if contract["dedup"] else None,
        max_body=contract["max_body"] or (OPEN_MAX_BODY if is_open else MAX_BODY),
        limit=Limit(**limit) if limit else (OPEN_LIMIT if is_open else None),
        success_status=contract["success_status"],
        methods=contract["methods"],
        tails=contract["tails"],
        on_invalid=contract["on_invalid"],
        bodies=BodyReader(
            contract["json_field"],
            contract["json_values"],
            contract["fallback_charset"],
            base64_json=contract["base64_json"],
            xml=contract["xml"],
        ),
        probes=tuple(contract["probes"]),
        each=contract["each"],
        double_click_s=contract["double_click"],
        once=contract["once"],
        topic=contract["topic"].lower() if contract["topic"] else None,
        answer=contract["answer"],
        profile=contract["profile"],
        secrets=secrets,
        variables=_variables(contract),
        secret_names=_secret_names(contract),
        form=Form(**form) if form is not None else None,
        thanks=contract["thanks"],
        origins=contract["origins"],
        spools=contract["spool"],
        addresses=contract["addresses"],
    )
    return _with_room(source)


def _with_room(source: Source) -> Source:
    """Allow more values for batches; unauthenticated senders keep the normal limit."""
    if source.each is None or source.reads_before_proof:
        return source
    return replace(source, bodies=replace(source.bodies, most_values=MOST_OF_BATCH))


def _secret_names(contract: Mapping[str, Any]) -> tuple[str, ...]:
    """The environment variables with the secrets that prove the sender; the shared ones first."""
    own = [name for way in contract["verify"] for name in way.get("secrets") or ()]
    return tuple(dict.fromkeys([*(contract.get("secrets") or ()), *own]))


def _variables(contract: Mapping[str, Any]) -> dict[str, str]:
    """The environment variables under the names that a profile's steps use."""
    names = _secret_names(contract)
    found = {"secret": names[0]} if names else {}
    return found | {name: contract[name] for name in NAMED if contract.get(name)} | dict(contract["named"])


def build_verifier(
    ways: Sequence[Mapping[str, Any]], secrets: Sequence[Sequence[bytes]], named: Secrets = NO_SECRETS
) -> Verifier:
    """The verifier of these ways. secrets: the secrets of each way, in order. named: further secrets, by name."""
    if ways[0]["kind"] == "none":
        return NoVerifier()
    return Several.of(build_way(way, own, named) for way, own in zip(ways, secrets, strict=True))


def build_way(way: Mapping[str, Any], secrets: Sequence[bytes], named: Secrets = NO_SECRETS) -> Way:
    """One way of proof. secrets: as given; all of them must fit it. named: further secrets, by name."""
    empty = _empty_way(way, named)
    for secret in secrets:
        empty = empty.with_secret(secret)
    return empty


def _empty_way(way: Mapping[str, Any], named: Secrets) -> Way:
    kind, unless = way["kind"], way["unless"]
    if kind == "basic":
        return BasicVerifier((), unless)
    if kind == "token":
        return TokenVerifier((), _place(way), _prefix_of_token(way), unless)
    # The libraries of public keys and tokens are imported only if needed: they take as long to load as everything else.
    if kind == "jwt":
        from relay.sources.proof.signed_tokens import JwtVerifier  # noqa: PLC0415

        options = {name: way[name] for name in ("algorithm", "tolerance_s", "body_hash", "url_hash", "claim", "unless")}
        return JwtVerifier(_place(way), prefix=_prefix_of_token(way), **options)
    common = _signature(way)
    if kind == "hmac":
        return HmacVerifier(**common, algorithm=way["algorithm"], named=named, key=way["key"])
    if kind == "hash":
        return HashVerifier(**common, algorithm=way["algorithm"], named=named)
    from relay.sources.proof.public_keys import PublicKeyVerifier  # noqa: PLC0415

    return PublicKeyVerifier(**common, kind=kind, algorithm=way.get("algorithm", "sha256"))


def _signature(way: Mapping[str, Any]) -> dict[str, Any]:
    clock, parts, values = way["timestamp"], way["parts"], way.get("values")
    return {
        "place": _place(way),
        "encoding": way["encoding"],
        "prefix": way["prefix"] or "",
        "signed": way["signed"].with_values(values) if values else way["signed"],
        "separator": way["separator"] or ("," if parts else None),
        "parts": (parts["signature"], parts["timestamp"]) if parts else None,
        "clock": Clock(_place_or_none(clock), clock["unit"], clock["tolerance"]) if clock else None,
        "id_header": way["id_header"],
        "body_digest": way["body_digest"],
        "unless": way["unless"],
    }


def _place(written: Mapping[str, Any]) -> Location:
    field: Expression | None = written["field"]
    header = written["header"].lower() if written["header"] else None
    is_whole, is_of_entries = written.get("whole_body", False), written.get("entries", False)
    return Location(header, written["query"], field, whole_body=is_whole, entries=is_of_entries)


def _place_or_none(written: Mapping[str, Any]) -> Location | None:
    place = _place(written)
    return place if place != Location() else None


def _prefix_of_token(way: Mapping[str, Any]) -> str:
    if way["prefix"] is None:
        return "Bearer " if (way["header"] or "").lower() == "authorization" else ""
    return str(way["prefix"])


def _dedup(dedup: Mapping[str, Any]) -> Dedup:
    header = dedup["header"].lower() if dedup["header"] else None
    return Dedup(dedup["window_s"], dedup["expression"], header, dedup["whole_body"])


class SecretReader:
    """Reads the secrets that one configuration names. environ: None: no secret is read, and each is assumed to
    exist.
    """

    def __init__(self, config: ConfigFile, environ: Mapping[str, str] | None) -> None:
        self._config = config
        self._environ = environ

    def read(self, place: KeyPath, name: str) -> bytes | None:
        """The secret of this name; None if it is missing, which is then noted."""
        if self._environ is None:
            return None
        missing = fault("sender_secret_missing", name=name)
        secret = read_named_secret(self._config, place, self._environ, name, missing)
        return None if secret is None else secret.encode("utf-8")

    def read_all(self, place: KeyPath, names: Sequence[str]) -> dict[str, bytes]:
        """The secrets by name, without the missing ones."""
        found = ((name, self.read(place, name)) for name in names)
        return {name: secret for name, secret in found if secret is not None}

    def fitting(
        self, place: KeyPath, ways: Sequence[Mapping[str, Any]], own: Sequence[Mapping[str, bytes]]
    ) -> list[list[bytes]]:
        """The secrets that fit each way; one that fits none is noted as a mistake.

        Ways in a list share their secrets, and some of these are public keys. A public key is never used as an HMAC
        key, because then anybody could sign.
        """
        is_mixed = len({_takes_public_key(way) for way in ways}) > 1
        return [
            [secret for name, secret in secrets.items() if self._fits(place, way, name, secret, is_mixed=is_mixed)]
            for way, secrets in zip(ways, own, strict=True)
        ]

    def _fits(self, place: KeyPath, way: Mapping[str, Any], name: str, secret: bytes, *, is_mixed: bool) -> bool:
        text = secret.decode("utf-8")
        shape, takes_public = shape_of(text), _takes_public_key(way)
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
        if _takes_public_key(way):
            kind = way["algorithm"] if way["kind"] == "jwt" else way["kind"]
            return fault("secret_no_public_key", name=name, kind=kind)
        if way["kind"] == "jwt":
            return fault("secret_is_public_key", name=name)  # in a form that only the library knows
        return fault("secret_no_key", name=name, key=way["key"])

    def _wrong(self, place: KeyPath, wrong: Fault) -> bool:
        self._config.add_mistake(place, wrong)
        return False


SHORTEST = 12
"""Characters. Random secrets of senders are longer."""


def warn_of_secrets(sources_file: Path, environ: Mapping[str, str]) -> list[Mistake]:
    """Warn of secrets that are easily guessed or that open two sources, by line; some senders make their own.

    No secret is quoted. Empty if the file cannot be read.
    """
    config = read_yaml(sources_file, Mistakes())
    sources = config.content.get("sources") if config and isinstance(config.content, dict) else None
    if config is None or not isinstance(sources, dict):
        return []
    found: list[Mistake] = []
    opened: dict[str, tuple[str, str]] = {}
    for source, entry in sources.items():
        for place, name in _names_in(entry, ("sources", source)):
            secret = None
            with suppress(ConfigError):  # reported when the secret is needed
                secret = read_secret(environ, name)
            if secret is None:
                continue
            line = next(config.lines[place[:end]] for end in range(len(place), 0, -1) if place[:end] in config.lines)
            first, other = opened.setdefault(secret, (source, name))
            wrong = [weakness_of(name, secret)]
            if first != source:
                wrong.append(fault("secret_of_two_sources", name=name, other=other))
            found += [Mistake(str(sources_file), line, one) for one in wrong if one]
    return list(dict.fromkeys(found))


def weakness_of(name: str, secret: str) -> Fault | None:
    """The fault of a secret that is easily guessed; None if it is not."""
    password = secret.partition(":")[2] or secret
    if len(password) >= SHORTEST and len(set(password)) >= FEWEST_DIFFERENT:
        return None
    return fault("secret_easily_guessed", name=name, least=SHORTEST, differ=FEWEST_DIFFERENT)


def _names_in(content: Any, place: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(content, list):
        for index, one in enumerate(content):
            yield from _names_in(one, (*place, index))
    for key, inner in content.items() if isinstance(content, dict) else ():
        if key == "secrets" and isinstance(inner, list):
            yield from (((*place, key, index), name) for index, name in enumerate(inner) if isinstance(name, str))
        elif key == "verify_token" and isinstance(inner, str):
            yield (*place, key), inner
        elif key == "named" and isinstance(inner, dict):
            yield from (((*place, key, name), one) for name, one in inner.items() if isinstance(one, str))
        else:
            yield from _names_in(inner, (*place, key))


def load_sources(
    path: Path, environ: Mapping[str, str] | None, mistakes: Mistakes | None = None, only: str | None = None
) -> dict[str, Source]:
    """The sources of this file by name; empty if it has any mistake, including a missing secret.

    environ: None: no secret is read; such sources can read bodies and answer, but believe nobody. only: the one source
    whose secrets are needed. mistakes: a collector; without one, ConfigError is raised with every mistake.
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
    """One source while it is read. If the entry has mistakes, any key may be missing."""

    def __init__(self, config: ConfigFile, name: str, entry: Mapping[str, Any], profiles: Profiles) -> None:
        self._config, self._name, self._profiles = config, name, profiles
        self._place: KeyPath = ("sources", name)
        self._written = _map_in(_map_in(config.content, "sources"), name)
        merged = self._merged(entry)
        self._contract = _whole_parts(merged) if merged else None

    def _merged(self, entry: Mapping[str, Any]) -> dict[str, Any] | None:
        """The entry merged with its profile; None if the profile cannot be loaded, which is then noted."""
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
        """The source; None if it has a mistake, which is then noted."""
        contract = self._contract
        if contract is None:
            return None
        secrets = SecretReader(self._config, environ)
        ways = contract.get("verify") or []
        keys = self._keys(secrets, ways, contract)
        usable = secrets.fitting(self._place_of_secrets(), ways, keys) if all(map(is_whole, ways)) else []
        named = self._named(secrets, contract)
        check_kept(self._config, self._place, contract)
        if contract.get("thanks") and "form" in contract and contract["form"] is None:
            self._wrong(("thanks",), fault("expected_form_beside"))
        if not self._config.is_right or not ways:
            return None
        first = next((given for own in keys for given in own.values()), b"")
        return build_source(self._name, contract, build_verifier(ways, usable, named), {SIGNING: first, **named})

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
            # The key is missing if it has a mistake, which was noted.
            own = way.get("secrets", () if "verify" in self._written else None)
            if own is None and not shared and way.get("kind") in NEEDS_SECRETS and not _keeps(contract):
                self._missing_secrets(place)
            found.append(given if own is None else secrets.read_all(place, own))
        return found

    def _named(self, secrets: SecretReader, contract: Mapping[str, Any]) -> dict[str, bytes]:
        """The secrets of verify_token, confirmation and `named`, if proofs, probes and answers need them."""
        own, needed, found = contract.get("named"), needed_names(contract) | named_secrets(contract), {}
        given: dict[KeyPath, str | None] = {(name,): contract[name] for name in NAMED if name in contract}
        if own is not None:
            given |= {("named", name): own.get(name) for name in sorted({*own, *named_secrets(contract)})}
        for place, variable in given.items():
            name = str(place[-1])
            if variable is not None and (secret := secrets.read((*self._place, *place), variable)) is not None:
                found[name] = secret
            if variable is None and name in needed:
                self._wrong(place, fault("missing_for_probe", expected=A_VARIABLE))
            if variable is not None and name not in needed and "probes" in contract:
                self._wrong(place, fault("secret_unneeded"))
        return found

    @property
    def _has_list(self) -> bool:
        return isinstance(self._written.get("verify"), list)

    def _place_of_secrets(self) -> KeyPath:
        own = "verify" in self._written and "secrets" not in self._written
        return (*self._place, "verify", "secrets") if own else (*self._place, "secrets")

    def _missing_secrets(self, place: KeyPath) -> None:
        where = place if "verify" in self._written else (*self._place, "secrets")
        self._config.add_mistake(where, fault("missing", expected=SOME_VARIABLES))

    def _wrong(self, place: KeyPath, wrong: Fault) -> None:
        self._config.add_mistake((*self._place, *place), wrong)


def _whole_parts(contract: dict[str, Any]) -> dict[str, Any]:
    """The contract without probes and an answer that have a mistake, because these are no objects."""
    probes, answer = contract.get("probes", []), contract.get("answer")
    wrong = {"probes"} if not all(isinstance(probe, Probe) for probe in probes) else set()
    wrong |= {"answer"} if answer is not None and not isinstance(answer, Answer) else set()
    return {name: value for name, value in contract.items() if name not in wrong}


def _keeps(contract: Mapping[str, Any]) -> bool:
    return any(probe.keeps for probe in contract.get("probes", ()))


def _map_in(content: Any, name: str) -> Mapping[str, Any]:
    inner = content.get(name) if isinstance(content, dict) else None
    return inner if isinstance(inner, dict) else {}
