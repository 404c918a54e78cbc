"""Settings from the environment, frozen. This module reads nothing else and never prints a secret.

All mistakes are reported at once. A secret NAME may instead be given as NAME_FILE, the path of a file that contains it
(the convention of Docker secrets). A secret of a source, a portal or an alert may also be a file NAME in the folder
that RELAY_SECRETS names; such files may come and go while the relay runs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import overload
from urllib.parse import urlsplit

from relay.configuration.files import ConfigFile, KeyPath, Mistakes, bytes_on_disk, collecting, kept_secret_file
from relay.configuration.sealing import PUBLIC_KEY, Sealer, SealError
from relay.core.errors import ConfigError, Mistake
from relay.core.faults import Fault, fault

PLACE = "environment"
SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
SHORTEST_KEY = 32
"""It signs cookies, and guesses can be tested against a cookie offline, as fast as a machine can."""
SHORTEST_TOKEN = 20
"""Correct tokens are never slowed down (relay/web/auth.py), so only the length protects against guessing."""
SHORTEST_PASSWORD = 10
"""People type it; strangers may guess 8,640 times a day (relay/web/auth.py)."""
FEWEST_DIFFERENT = 6
"""Different characters: a row of the same letter is no secret."""
MOST_REPLICAS = 5
"""Each of them must answer before a sender gets an answer."""
HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,99}")


def read_secret(environ: Mapping[str, str], name: str) -> str | None:
    """The secret NAME, or the content of the file that NAME_FILE names, or of the file NAME in RELAY_SECRETS, or None.

    Raises ConfigError if the file cannot be read, or there are two.
    """
    value, path = environ.get(name), environ.get(f"{name}_FILE")
    kept = _kept_secret(environ, name)
    if value and path:
        raise ConfigError([Mistake(PLACE, 0, fault("both_set", name=name))])
    if kept and (value or path):
        raise ConfigError([Mistake(PLACE, 0, fault("secret_kept_too", name=name))])
    if not path:
        return kept or value or None
    try:
        return Path(path).read_text("utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            [Mistake(PLACE, 0, fault("secret_file_unreadable", name=name, kind=type(error).__name__))]
        ) from None


def _kept_secret(environ: Mapping[str, str], name: str) -> str | None:
    """The content of the file NAME in RELAY_SECRETS; None if there is no such file. Raises ConfigError."""
    path = kept_secret_file(environ, name)
    if path is None:
        return None
    try:
        if not path.resolve(strict=True).is_relative_to(path.parent.resolve()):
            raise ConfigError([Mistake(PLACE, 0, fault("secret_link_outside", name=name))])
        return bytes_on_disk(path).decode("utf-8").strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, RuntimeError) as error:  # a loop of links was a RuntimeError before 3.13
        raise ConfigError(
            [Mistake(PLACE, 0, fault("kept_secret_unreadable", name=name, kind=type(error).__name__))]
        ) from None


def names_a_record(environ: Mapping[str, str]) -> bool:
    """Whether the environment names the server of the record. Its address may contain a password and be in a file."""
    name = "REDIS_URL"
    return bool(environ.get(name) or environ.get(f"{name}_FILE"))


def read_named_secret(
    config: ConfigFile, place: KeyPath, environ: Mapping[str, str], name: str, missing: Fault
) -> str | None:
    """The secret that a configuration file names; None if it is missing, which is noted at that line.

    missing: the fault if it is not set.
    """
    try:
        value = read_secret(environ, name)
    except ConfigError as error:
        for mistake in error.mistakes:
            config.add_mistake(place, mistake.fault)
        return None
    if value is None:
        config.add_mistake(place, missing)
    return value


def documented(read_by: str, means: str, *, default: str = "", needed: bool = False) -> Mapping[str, str]:
    """Documentation of a setting for config/guide/settings.md: the processes that read it, its meaning and its default.

    default: given only if it is not the field's own. needed: the setting has no default.
    """
    return {"read_by": read_by, "means": means, "default": "needed" if needed else default}


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of every process.

    Each field is read from the variable `RELAY_` plus its name in capitals, except `REDIS_URL`. `make docs` generates
    the reference from the fields.
    """

    redis_url: str = field(
        repr=False,
        metadata=documented(
            "web, workers",
            "the record's server: `redis://`, `rediss://`, `unix://` or"
            " `redis+sentinel://:password@host:port,host:port/service/db?sentinel_password=..` (`rediss+sentinel`"
            " speaks TLS to servers and sentinels). Redis 7.0 or later, or Valkey 7.2 or later, run as"
            " `config/redis.conf` says. With a password in it, better set `REDIS_URL_FILE`",
            needed=True,
        ),
    )
    config: Path = field(metadata=documented("web, workers", "the folder with the configuration", default="config"))
    host: str = field(default="127.0.0.1", metadata=documented("web", "the address that it listens on"))
    port: int = field(default=8080, metadata=documented("web", "the port that it listens on"))
    public_url: str | None = field(
        default=None,
        metadata=documented(
            "web",
            "the address as senders see it. With https, cookies are for https only. Rules with `watch` need it, and so"
            " does `replay` of such a delivery in a terminal",
        ),
    )
    trusted_proxies: tuple[str, ...] = field(
        default=(),
        metadata=documented(
            "web",
            "networks whose `X-Forwarded-*` is believed, with commas. While it is empty, all who come through a proxy"
            " or a container network count as one address; the relay says so at start",
        ),
    )
    sign_in_header: str | None = field(
        default=None,
        metadata=documented(
            "web",
            "the header, such as `X-Forwarded-User`, in which a trusted proxy says who has signed in there. The proxy"
            " must take it away from what senders send. The name stands in the log",
        ),
    )
    operators: tuple[str, ...] = field(
        default=(),
        metadata=documented("web", "the names, with commas, that may act when they come so; everyone else is a viewer"),
    )
    api_token: str | None = field(
        default=None,
        repr=False,
        metadata=documented(
            "web",
            f"the API's bearer token to act and see everything; at least {SHORTEST_TOKEN} characters",
            needed=True,
        ),
    )
    api_read_token: str | None = field(
        default=None,
        repr=False,
        metadata=documented("web", f"only reads, with persons' values masked; at least {SHORTEST_TOKEN} characters"),
    )
    metrics_token: str | None = field(
        default=None,
        repr=False,
        metadata=documented("web", f"opens `/metrics` and nothing else; at least {SHORTEST_TOKEN} characters"),
    )
    dashboard_password: str | None = field(
        default=None,
        repr=False,
        metadata=documented(
            "web", f"opens the dashboard, to act; at least {SHORTEST_PASSWORD} characters", needed=True
        ),
    )
    viewer_password: str | None = field(
        default=None,
        repr=False,
        metadata=documented("web", f"opens the dashboard, only to look; at least {SHORTEST_PASSWORD} characters"),
    )
    secret_key: str | None = field(
        default=None,
        repr=False,
        metadata=documented(
            "web, terminal",
            "signs cookies, and keys the search of persons' values: with another one, events from before are no longer"
            f" found by a person's value; at least {SHORTEST_KEY} characters",
            needed=True,
        ),
    )
    seal_public_key: str | None = field(
        default=None,
        metadata=documented(
            "web",
            "one half of the workers' key, by which this process seals what only they may read: the tokens of an"
            " application on a portal. `up`, `demo` and `init` make both halves. Without it, no portal is connected by"
            " an application",
        ),
    )
    retention_days: int = field(default=90, metadata=documented("workers", "how long final events are kept, in days"))
    body_days: int | None = field(
        default=None,
        metadata=documented("workers", "how long of that their bodies are kept, in days", default="as long"),
    )
    archive: Path | None = field(
        default=None,
        metadata=documented(
            "workers, terminal", "the folder in which events are kept as files when they are forgotten"
        ),
    )
    replicas: int = field(
        default=0,
        metadata=documented(
            "web, workers",
            "how many replicas must have what is acknowledged, and what is claimed to be sent: 0, or as many as there"
            " are",
        ),
    )
    secrets: Path | None = field(
        default=None,
        metadata=documented(
            "web, workers",
            "a folder with secrets of senders (web), or of portals and alerts (workers): the file `SOURCE_SHOP_SECRET`"
            " there is as if `SOURCE_SHOP_SECRET_FILE` named it. New and changed files are followed without a restart,"
            " and the page Sources writes there. Give web and workers a folder each",
        ),
    )
    state: Path = field(
        default=Path("var/state"),
        metadata=documented(
            "web, workers",
            "the folder for what a machine keeps beside the record, on a disk that outlives the process",
        ),
    )
    spool_mb: int = field(
        default=64,
        metadata=documented("web", "how much of that disk may hold what came while the record was away, in megabytes"),
    )

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str], *, web: bool = False, mistakes: Mistakes | None = None
    ) -> Settings:
        """Read and check the environment.

        web: the secrets of the web process are read too, and its three must be there. Other processes may not be able
        to read their files, which a shared environment names all the same.

        mistakes: a collector; without one, ConfigError is raised with every mistake.
        """
        with collecting(mistakes) as found:
            return cls._read(_Reader(environ, found, is_web=web))

    @classmethod
    def _read(cls, reader: _Reader) -> Settings:
        settings = cls(
            redis_url=reader.redis_url(),
            config=reader.folder("RELAY_CONFIG", "config"),
            host=reader.environ.get("RELAY_HOST") or "127.0.0.1",
            port=reader.port("RELAY_PORT", 8080),
            public_url=reader.public_url("RELAY_PUBLIC_URL"),
            trusted_proxies=reader.networks("RELAY_TRUSTED_PROXIES"),
            sign_in_header=reader.header("RELAY_SIGN_IN_HEADER"),
            operators=reader.names("RELAY_OPERATORS"),
            api_token=reader.secret("RELAY_API_TOKEN", SHORTEST_TOKEN, needed=True),
            api_read_token=reader.secret("RELAY_API_READ_TOKEN", SHORTEST_TOKEN),
            metrics_token=reader.secret("RELAY_METRICS_TOKEN", SHORTEST_TOKEN),
            dashboard_password=reader.secret("RELAY_DASHBOARD_PASSWORD", SHORTEST_PASSWORD, needed=True),
            viewer_password=reader.secret("RELAY_VIEWER_PASSWORD", SHORTEST_PASSWORD),
            secret_key=reader.secret_key("RELAY_SECRET_KEY"),
            seal_public_key=reader.seal_public_key(),
            retention_days=reader.number("RELAY_RETENTION_DAYS", 90, "variable_no_days"),
            body_days=reader.number("RELAY_BODY_DAYS", None, "variable_no_days"),
            archive=reader.archive("RELAY_ARCHIVE"),
            replicas=reader.count("RELAY_REPLICAS", 0, MOST_REPLICAS),
            secrets=reader.folder("RELAY_SECRETS", "") if reader.environ.get("RELAY_SECRETS") else None,
            state=Path(reader.environ.get("RELAY_STATE") or "var/state"),
            spool_mb=reader.number("RELAY_SPOOL_MB", 64, "variable_no_megabytes"),
        )
        reader.compare_secrets()
        if settings.body_days and settings.body_days > settings.retention_days:
            reader.wrong(fault("body_days_too_long", found=settings.body_days, most=settings.retention_days))
        if settings.sign_in_header and not settings.trusted_proxies:
            reader.wrong(fault("sign_in_without_proxies"))
        return settings


class _Reader:
    """Reads one variable at a time and notes its mistakes."""

    def __init__(self, environ: Mapping[str, str], mistakes: Mistakes, *, is_web: bool) -> None:
        self.environ = environ
        self.mistakes = mistakes
        self._is_web = is_web
        self._secrets: dict[str, str] = {}

    def redis_url(self) -> str:
        url = ""
        with self.mistakes.catching():
            url = read_secret(self.environ, "REDIS_URL") or ""
        if not url:
            self.wrong(fault("redis_url_missing"))
        elif urlsplit(url).scheme not in SCHEMES:
            self.wrong(fault("redis_url_scheme", names=list(SCHEMES)))
        return url

    def folder(self, name: str, default: str) -> Path:
        path = Path(self.environ.get(name) or default)
        if not path.is_dir():
            self.wrong(fault("variable_no_folder", name=name, found=repr(str(path))))
        return path

    def port(self, name: str, default: int) -> int:
        text = self.environ.get(name) or str(default)
        if text.isascii() and text.isdigit() and int(text) < 65536:
            return int(text)
        self.wrong(fault("variable_no_port", name=name, found=repr(text)))
        return default

    @overload
    def number(self, name: str, default: int, wrong: str) -> int: ...
    @overload
    def number(self, name: str, default: None, wrong: str) -> int | None: ...
    def number(self, name: str, default: int | None, wrong: str) -> int | None:
        text = self.environ.get(name)
        if not text:
            return default
        if text.isascii() and text.isdigit() and 0 < int(text) < 10_000:
            return int(text)
        self.wrong(fault(wrong, name=name, found=repr(text)))
        return default

    def archive(self, name: str) -> Path | None:
        text = self.environ.get(name)
        if text and Path(text).exists() and not Path(text).is_dir():
            self.wrong(fault("variable_no_archive", name=name, found=repr(text)))
        return Path(text) if text else None

    def count(self, name: str, default: int, most: int) -> int:
        text = self.environ.get(name) or str(default)
        if text.isascii() and text.isdigit() and int(text) <= most:
            return int(text)
        self.wrong(fault("variable_no_count", name=name, found=repr(text), most=most))
        return default

    def public_url(self, name: str) -> str | None:
        text = self.environ.get(name)
        if not text:
            return None
        parts = urlsplit(text)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            self.wrong(fault("variable_no_address", name=name, found=repr(text)))
        return text.rstrip("/")

    def networks(self, name: str) -> tuple[str, ...]:
        entries = self.names(name)
        for entry in entries:
            try:
                ip_network(entry)
            except ValueError:
                self.wrong(fault("variable_no_network", name=name, found=repr(entry)))
        return entries

    def names(self, name: str) -> tuple[str, ...]:
        return tuple(entry.strip() for entry in (self.environ.get(name) or "").split(",") if entry.strip())

    def header(self, name: str) -> str | None:
        text = self.environ.get(name) or None
        if text and not HEADER.fullmatch(text):
            self.wrong(fault("variable_no_header", name=name, found=repr(text)))
            return None
        return text

    def secret_key(self, name: str) -> str | None:
        """The key of the web process. A terminal searches persons with it, if it can read it."""
        if self._is_web:
            return self.secret(name, SHORTEST_KEY, needed=True)
        with suppress(ConfigError):
            value = read_secret(self.environ, name)
            return self._strong(name, value, SHORTEST_KEY) if value else None
        return None

    def seal_public_key(self) -> str | None:
        """The workers' public key, in the web process; None in any other."""
        if not self._is_web:
            return None
        with self.mistakes.catching():
            text = read_secret(self.environ, PUBLIC_KEY)
            try:
                if text:
                    Sealer.from_text(text)
            except SealError:
                self.wrong(fault("seal_key_wrong", name=PUBLIC_KEY))
            else:
                return text
        return None

    def secret(self, name: str, shortest: int, *, needed: bool = False) -> str | None:
        """A secret of the web process; None in any other."""
        if not self._is_web:
            return None
        with self.mistakes.catching():
            value = read_secret(self.environ, name)
            if value is not None:
                return self._strong(name, value, shortest)
            if needed:
                self.wrong(fault("secret_missing", name=name))
        return None

    def _strong(self, name: str, value: str, shortest: int) -> str:
        if len(value) < shortest or len(set(value)) < FEWEST_DIFFERENT:
            self.wrong(fault("secret_weak", name=name, least=shortest, differ=FEWEST_DIFFERENT))
        self._secrets[name] = value
        return value

    def compare_secrets(self) -> None:
        """Note equal secrets: each grants another access, and with two equal ones, one secret grants both."""
        seen: dict[str, str] = {}
        for name, value in self._secrets.items():
            if value in seen:
                self.wrong(fault("secret_twice", name=name, other=seen[value]))
            seen.setdefault(value, name)

    def wrong(self, fault: Fault) -> None:
        """Note a mistake."""
        self.mistakes.add(Mistake(PLACE, 0, fault))
