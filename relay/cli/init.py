"""`init`: a configuration of one's own in a folder, with its secrets and the environment that names them.

    FOLDER/config/            what the operator writes from now on
    FOLDER/secrets/web/NAME   a secret a file; the folder says which process may read it
    FOLDER/secrets/workers/NAME
    FOLDER/.env               the paths of all that; written last, so that it is there when everything else is

It asks on a terminal, or takes options. What is there already stays, unless a person agrees to a change. Each file is
written whole or not at all, so that an `init` that was killed can be repeated.
"""

from __future__ import annotations

import argparse
import difflib
import getpass
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from relay.cli.configuration import check_files, say_steps
from relay.cli.terminal import busy
from relay.configuration.fields import NAME
from relay.configuration.files import Mistakes
from relay.configuration.sealing import KEY, PUBLIC_KEY, Opener, SealError, new_seal_key
from relay.configuration.settings import Settings
from relay.core.errors import RelayError
from relay.core.ids import utc_now
from relay.core.printing import say
from relay.operations.configure import load_config
from relay.operations.drafting import MADE
from relay.operations.editor_schemas import FILES, FOLDER, SUFFIX, schema_text
from relay.operations.rule_text import content_of
from relay.operations.starter import (
    NeededSecret,
    Wishes,
    environment_text,
    portal_variable,
    portals_text,
    rule_text,
    secrets_of,
    source_of,
    sources_text,
    variables_in,
)
from relay.rules import RuleBook
from relay.runtime.embedded import serve_record
from relay.runtime.secret_file import WEB_SECRETS, new_secret, write_whole
from relay.sources.loading import OWN_PROFILES, Profile, Profiles
from relay.store import Store

CHECKOUT = Path(__file__).resolve().parents[2]
PLAIN_PATH = re.compile(r"[\w./+@,=-]+")
"""A shell, systemd and compose read any other in three ways."""
PORTAL, SOURCE, PROFILE, DOCUMENT = "main", "website", "html-form", "lead"
DRAFT = ".draft"
ASKED_S = 120.0
"""The longest wait for a portal: its calls have deadlines of their own."""
MOST_TEMPLATES = 50
PUBLIC, PRIVATE = 0o644, 0o600


def init(options: argparse.Namespace) -> int:
    """Write the configuration, check it, and say what to do next; 1 if the check finds a mistake.

    Raises RelayError and ConfigError.
    """
    folder = Path(options.folder).resolve()
    _refuse(folder)
    if not options.yes and not sys.stdin.isatty():
        raise RelayError("nobody is here to be asked: say --yes to take the defaults for what no option gives")
    setup = _Setup(folder, asks=not options.yes)
    try:
        setup.ask(options)
        setup.write()
        status = check_files([setup.config])
        if not options.no_ping:
            setup.ping()
    except EOFError:
        raise RelayError("the answers have ended: what is written stays, and `init` can be repeated") from None
    setup.say_what_is_next()
    return status


def _refuse(folder: Path) -> None:
    if folder == CHECKOUT:
        raise RelayError("this is the folder of the relay itself: name one of your own, such as `init ../my-relay`")
    if not PLAIN_PATH.fullmatch(str(folder)):
        raise RelayError(f"{folder}: expected a folder without spaces and signs in its path, for .env names it")


@dataclass
class _Setup:
    """One run of `init`. asks: whether a person answers questions. given: the secrets that were given in this run."""

    folder: Path
    asks: bool
    public_url: str | None = None
    wishes: Wishes = field(init=False)
    wants_rule: bool = True
    given: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def environment(self) -> Path:
        return self.folder / ".env"

    @property
    def portal_variable(self) -> str:
        return portal_variable(self.wishes.portal)

    def secret_file(self, name: str) -> Path:
        """The file of a secret, in the folder of the process that reads it."""
        side = "workers" if name.startswith("PORTAL_") or name == KEY else "web"
        return self.folder / "secrets" / side / name

    # Questions

    def ask(self, options: argparse.Namespace) -> None:
        """Find out what the person wants: by options, by what is there already, by questions, by defaults."""
        known = variables_in(_text_at(self.environment) or "")
        sources = _names_at(self.config / "sources.yaml", "sources")
        profile = self._profile(options, sources)
        is_open = options.profile is None and not self.asks
        likely = [name for name, kind in sources.items() if is_open or kind == profile.name]
        default = next(iter(likely), SOURCE if profile.name == PROFILE else profile.name)
        source = options.source or self._ask("A name for this sender, which is the end of its address", default, _name)
        portal = options.portal or next(iter(_names_at(self.config / "portals.yaml", "portals")), PORTAL)
        url = options.public_url
        if url is None:
            question = "The public address, such as https://relay.example.com (empty: none yet)"
            url = self._ask(question, known.get("RELAY_PUBLIC_URL", ""), _url)
        self.public_url = _url(url).rstrip("/")
        document = options.document or DOCUMENT
        self.wishes = Wishes(_name(portal), _name(source), profile, options.template, document)
        # A first rule that was taken away does not come back.
        is_first = source not in sources or not self.environment.exists()
        self.wants_rule = is_first or options.template is not None
        self._take_portal_url(options)
        if is_first and options.template is None and self.asks:
            self._ask_for_template(options)

    def _profile(self, options: argparse.Namespace, sources: Mapping[str, str | None]) -> Profile:
        profiles = Profiles(self.config / OWN_PROFILES)
        default = sources.get(options.source or next(iter(sources), "")) or PROFILE

        def known(name: str) -> str:
            if not profiles.is_known(name):
                raise RelayError(str(profiles.unknown(name)))
            return name

        if not options.profile and self.asks:
            say(f"Senders: {', '.join(profiles.names)}")
        name = options.profile or self._ask("Who sends first?", default, known)
        mistakes = Mistakes()
        profile = profiles.get(known(name), mistakes)
        mistakes.raise_any()
        if profile is None:
            raise RelayError(str(profiles.unknown(name)))
        return profile

    def _take_portal_url(self, options: argparse.Namespace) -> None:
        """The address of the portal's inbound webhook, which is a secret."""
        name, place = self.portal_variable, options.portal_url_file
        if place:
            self.given[name] = _read_address(place)
        elif value := os.environ.get(name):
            self.given[name] = value
        elif self.asks:
            say(
                "On the portal, as an administrator: Developer resources, Other, Inbound webhook, with bizproc and crm."
            )
            kept = "Enter keeps the one there is" if self.secret_file(name).exists() else "Enter: later"
            self._hide(name, f"Its address ({kept}; it is not shown): ")

    def _ask_for_template(self, options: argparse.Namespace) -> None:
        if not options.no_ping and self.portal_variable in self.given:
            self._say_templates()
        text = self._ask("The number of the workflow template to start (empty: later)", "", _template)
        if not text:
            return
        document = options.document or self._ask(
            f"What the rule makes, where the event names no document ({', '.join(MADE)})", DOCUMENT, _document
        )
        self.wishes = replace(self.wishes, template=int(text), document=document)

    def _say_templates(self) -> None:
        """Print the portal's templates, if it shows them. Nothing is written yet: the workers get a folder for now."""
        with tempfile.TemporaryDirectory(prefix="relay-init-") as config:
            (Path(config) / "portals.yaml").write_text(portals_text(None, self.wishes.portal), "utf-8")
            given = {self.portal_variable: self.given[self.portal_variable], "RELAY_CONFIG": config}
            done = _ask_workers("schema", self.wishes.portal, {**_without(given), **given})
        if done.stderr:
            say(done.stderr.strip(), error=True)
        if done.returncode == 0:
            there = json.loads(done.stdout)["then"]["properties"]["start"]["properties"]
            for one in there.get("template_id", {}).get("oneOf", [])[:MOST_TEMPLATES]:
                say(f"  {one['const']:>6}  {one['title']}")

    def _ask(self, question: str, default: str, check: Callable[[str], str]) -> str:
        """An answer that is right; the default where nobody is asked."""
        while self.asks:
            try:
                return check(input(f"{question} [{default}]: " if default else f"{question}: ").strip() or default)
            except RelayError as error:
                say(error, error=True)
        return default

    def _hide(self, name: str, question: str) -> bool:
        """Ask for a secret; whether one was given."""
        value = getpass.getpass(question).strip()
        if value:
            self.given[name] = value
        return bool(value)

    # Files

    def _rule_file(self) -> Path:
        """The first rule; while it names no template, a draft that the relay does not read."""
        rule = self.config / "rules" / f"{self.wishes.source}.yaml"
        return rule if self.wishes.template or rule.exists() else rule.with_name(rule.name + DRAFT)

    def write(self) -> None:
        """Write what is not there yet, and what a person agrees to change. Raises RelayError and ConfigError."""
        sources = sources_text(_text_at(self.config / "sources.yaml"), self.wishes)
        portals = portals_text(_text_at(self.config / "portals.yaml"), self.wishes.portal)
        for place in (self.config / "rules", self.config / FOLDER):
            place.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            self._write(self.config / FOLDER / f"{name}{SUFFIX}", schema_text(name))
        self._write(self.config / "portals.yaml", portals)
        self._write(self.config / "sources.yaml", sources)
        sources = _text_at(self.config / "sources.yaml") or ""  # a change may not have been agreed to
        if self.wants_rule and self._has_source() and not self._rule_file().exists():
            self._write(self._rule_file(), rule_text(self.config, sources, self.wishes, utc_now()))
        needed = secrets_of(self.config, sources)
        self._write_secrets(needed)
        names = [*WEB_SECRETS, PUBLIC_KEY, KEY, *(one.variable for one in needed), self.portal_variable]
        variables = {
            "RELAY_CONFIG": str(self.config),
            "RELAY_STATE": str(self.folder / "var" / "state"),
            "RELAY_PUBLIC_URL": self.public_url or "",
            **{f"{name}_FILE": str(self.secret_file(name)) for name in names},
        }
        self._write(self.environment, environment_text(_text_at(self.environment), variables), PRIVATE)

    def _has_source(self) -> bool:
        return self.wishes.source in _names_at(self.config / "sources.yaml", "sources")

    def _write_secrets(self, needed: Sequence[NeededSecret]) -> None:
        for name in (*WEB_SECRETS, self.portal_variable):
            _make_private(self.secret_file(name).parent)
        for name in WEB_SECRETS:
            self._write_secret(name, new_secret)
        self._write_seal_keys()
        for one in needed:
            known = self.secret_file(one.variable).exists() or one.variable in self.given
            if one.is_given and not known and (value := os.environ.get(one.variable)):
                self.given[one.variable] = value
            elif one.is_given and not known and self.asks:
                self._hide(one.variable, f"{one.variable}, which the sender makes (Enter: later; it is not shown): ")
            self._write_secret(one.variable, None if one.is_given else _new_pair if one.is_pair else new_secret)
        self._write_secret(self.portal_variable, None)

    def _write_seal_keys(self) -> None:
        """The workers' key, and its public half for the web process."""
        self._write_secret(KEY, new_seal_key)
        try:
            public = Opener.from_text(_text_at(self.secret_file(KEY)) or "").public_text
        except SealError:
            raise RelayError(
                f"{self._shown(self.secret_file(KEY))} holds no key: expected 32 bytes in base64"
            ) from None
        self._write(self.secret_file(PUBLIC_KEY), f"{public}\n", PRIVATE)

    def _write_secret(self, name: str, make: Callable[[], str] | None) -> None:
        """Write what was given; else keep the file; else make one, where `make` says how."""
        path, value = self.secret_file(name), self.given.get(name)
        held = _text_at(path)
        if held is None:
            value = value or (make() if make else None)
            if value:
                self._put(path, f"{value}\n", PRIVATE, "written")
        elif value and value != held.strip():
            if self._agreed(f"{self._shown(path)} holds another secret. Replace it?"):
                self._put(path, f"{value}\n", PRIVATE, "replaced")
            else:
                say(f"{self._shown(path)}: kept, though another secret was given")

    def _write(self, path: Path, text: str, mode: int = PUBLIC) -> None:
        """Write a file that is not there; show how another would change, and change it if a person agrees."""
        before = _text_at(path)
        if before is None:
            self._put(path, text, mode, "written")
        elif before != text:
            say(f"{self._shown(path)} would change:")
            lines = difflib.unified_diff(
                before.splitlines(), text.splitlines(), "as it is", "as it would be", lineterm=""
            )
            for line in lines:
                say(line)
            if self._agreed(f"Change {self._shown(path)}?"):
                self._put(path, text, mode, "changed")
            else:
                say(f"{self._shown(path)}: kept as it is")

    def _put(self, path: Path, text: str, mode: int, what: str) -> None:
        try:
            write_whole(path, text, mode)
        except OSError as error:
            raise RelayError(
                f"{path}: {error.strerror}: nothing is lost, repeat `init` when it can be written"
            ) from None
        say(f"{self._shown(path)}: {what}")

    def _agreed(self, question: str) -> bool:
        return self.asks and input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(self.folder))

    # What comes after

    def ping(self) -> None:
        """Ask the portal whether it would work, through the workers, who alone may call it. It starts nothing."""
        while self.secret_file(self.portal_variable).exists():
            done = self._ping()
            say(f"\n{(done.stdout + done.stderr).strip()}")
            if done.returncode == 0:
                return
            say(f"the portal {self.wishes.portal} would not do yet. All is written: `init` can be repeated", error=True)
            if not self.asks or not self._hide(self.portal_variable, "Another address (Enter: later): "):
                return
            self._put(
                self.secret_file(self.portal_variable), self.given[self.portal_variable] + "\n", PRIVATE, "replaced"
            )

    def _ping(self) -> subprocess.CompletedProcess[str]:
        ours = variables_in(_text_at(self.environment) or "")
        mistakes = Mistakes()
        rules = load_config(self.config, None, mistakes, base=self.public_url or "").rules
        # Mistakes were said by the check.
        return _ask_workers("ping", self.wishes.portal, {**_without(ours), **ours}, None if mistakes else rules)

    def say_what_is_next(self) -> None:
        """Print what to enter at the sender, the missing secrets, and the next commands."""
        settings = Settings.from_environment(
            {"REDIS_URL": "unix://", "RELAY_CONFIG": str(self.config), "RELAY_PUBLIC_URL": self.public_url or ""}
        )
        sources = _text_at(self.config / "sources.yaml") or ""
        source = source_of(self.config, sources, self.wishes.source) if self._has_source() else None
        if source and source.profile:
            say(f"\nAt the sender ({self.wishes.profile.title}):")
            say_steps(self.wishes.profile, source, settings)
        ours = variables_in(_text_at(self.environment) or "")
        files = {name.removesuffix("_FILE"): Path(path) for name, path in ours.items() if name.endswith("_FILE")}
        for name, path in files.items():
            if name.startswith("SOURCE_") and path.exists():
                say(f"The value of {name} is in {path}")
        for name, path in files.items():
            if not path.exists():
                say(f"Still missing: {name}. Write it into {path}, or repeat `init`")
        if self._rule_file().suffix == DRAFT and self._rule_file().exists():
            say(f"The rule has no template yet: give {self._rule_file()} its number, and take .draft from its name")
        say("\nNext:")
        for line in self._commands(files):
            say(f"  {line}")

    def _commands(self, files: Mapping[str, Path]) -> list[str]:
        python = shlex.join([f"PYTHONPATH={CHECKOUT}", sys.executable, "-m", "relay"])
        shadowed = sorted(name for name in files if os.environ.get(name))
        return [
            f"cd {self.folder}",
            *([f"unset {' '.join(shadowed)}"] if shadowed else []),
            "set -a; . ./.env; set +a",
            f"{python} up",
            f"cat {self.secret_file('RELAY_DASHBOARD_PASSWORD')}    # opens the dashboard",
            f"{python} sources test {self.wishes.source}    # in another terminal: a sample through all of it",
        ]


def _ask_workers(
    command: str, portal: str, environ: Mapping[str, str], rules: RuleBook | None = None
) -> subprocess.CompletedProcess[str]:
    """Let the workers, who alone may call a portal, ask it something, on a record for the moment.

    rules: what a ping compares with the portal.
    """
    arguments = [sys.executable, "-m", "workers", command, portal]
    with tempfile.TemporaryDirectory(prefix="relay-init-") as var, serve_record(Path(var)) as url:
        if rules:
            store = Store.open(url)
            store.rules.publish(rules.digest, [rule.requirement for rule in rules.all()], utc_now())
            store.close()
        try:
            with busy("asking the portal"):
                return subprocess.run(  # noqa: S603 - a command of ours
                    arguments, env={**environ, "REDIS_URL": url}, cwd=CHECKOUT, capture_output=True, text=True,
                    timeout=ASKED_S, check=False,
                )  # fmt: skip
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(arguments, 1, "", f"no answer within {ASKED_S:g} s")


def _without(given: Mapping[str, str]) -> dict[str, str]:
    """The shell's environment without what it says of these variables, as value or as file."""
    names = {name.removesuffix("_FILE") for name in given}
    return {name: value for name, value in os.environ.items() if name.removesuffix("_FILE") not in names}


def _make_private(folder: Path) -> None:
    """A folder that only its owner opens, and the one around it."""
    for place in (folder.parent, folder):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.chmod(0o700)


def _new_pair() -> str:
    """A name and a password, as HTTP Basic takes them."""
    return f"relay:{new_secret()}"


def _text_at(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise RelayError(f"{path} cannot be read: {type(error).__name__}") from None


def _names_at(path: Path, table: str) -> dict[str, str | None]:
    """The names in a table of a file that may not be there, each with its profile."""
    entries = content_of(_text_at(path) or "").get(table)
    if not isinstance(entries, dict):
        return {}
    return {name: entry.get("profile") if isinstance(entry, dict) else None for name, entry in entries.items()}


def _read_address(place: str) -> str:
    try:
        text = sys.stdin.read() if place == "-" else Path(place).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RelayError(f"{place} cannot be read: {type(error).__name__}") from None
    if not text.strip():
        raise RelayError(f"{place}: expected the address of the portal's inbound webhook, and nothing is there")
    return text.strip()


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise RelayError(f"{text!r}: expected a name of a-z, 0-9, - and _, beginning with a letter")
    return text


def _url(text: str) -> str:
    parts = urlsplit(text)
    if text and (parts.scheme not in {"http", "https"} or not re.fullmatch(r"https?://[\w.:/~\[\]-]+", text)):
        raise RelayError(f"{text!r}: expected an address such as https://relay.example.com")
    return text


def _template(text: str) -> str:
    if text and not re.fullmatch("[1-9][0-9]{0,8}", text):
        raise RelayError(f"{text!r}: expected the number of a template")
    return text


def _document(text: str) -> str:
    if text not in MADE:
        raise RelayError(f"{text!r}: expected one of {', '.join(MADE)}")
    return text
