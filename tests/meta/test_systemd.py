"""config/deploy/systemd: units that systemd takes, with few rights, and the record's server as they start it."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError

from relay.store import Store
from tests.support.activation import UNITS, setting
from tests.support.folders import CONFIG, REPOSITORY
from tests.support.valkey import REDIS_7
from tests.support.waiting import until
from workers.__main__ import STOP_S

SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
SCRIPTS = sorted(path.name for path in UNITS.glob("*.sh"))
EXPOSURE = "20"
"""Tenths: systemd calls less than 2.0 safe."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units as install.sh installs them; what they run need not be there, but for this."""
    folder = tmp_path_factory.mktemp("units")
    for path in UNITS.iterdir():
        if path.suffix in {".service", ".socket", ".timer"}:
            text = re.sub(r"/usr/bin/(redis-server|redis-cli)", "/bin/true", path.read_text("utf-8"))
            (folder / path.name).write_text(text, "utf-8")
    (folder / "relay-web@.service").write_text((folder / "relay-web.service").read_text("utf-8"), "utf-8")
    return folder


def test_systemd_finds_nothing_wrong_in_any_unit(installed: Path) -> None:
    names = [path.name.replace("@", "@beside") for path in installed.iterdir()]

    done = subprocess.run(
        ["systemd-analyze", "verify", *names], cwd=installed, env=os.environ | {"SYSTEMD_UNIT_PATH": f"{installed}:"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert len(names) == 7


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_few_rights(service: str) -> None:
    done = subprocess.run(
        [
            "systemd-analyze",
            "security",
            "--offline=true",
            f"--threshold={EXPOSURE}",
            "--no-pager",
            str(UNITS / service),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout.splitlines()[-1]


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_service_names_in_the_checkout_is_there(service: str) -> None:
    for path in re.findall(r"/opt/relay/current/(\S+)", (UNITS / service).read_text("utf-8")):
        assert (REPOSITORY / path).exists()


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_one(script: str) -> None:
    subprocess.run(["sh", "-n", UNITS / script], check=True)


@pytest.mark.parametrize(
    ("service", "own", "other"),
    [("web", "web", "workers"), ("workers", "workers", "web"), ("backup", "workers", "web")],
)
def test_a_side_is_shown_its_own_secrets_only(service: str, own: str, other: str) -> None:
    text = (UNITS / f"relay-{service}.service").read_text("utf-8")

    assert setting(f"relay-{service}.service", "User") == f"relay-{own}"
    assert setting(f"relay-{service}.service", "InaccessiblePaths") == f"/etc/relay/secrets/{other}"
    assert f"REDIS_URL_FILE=/etc/relay/secrets/{own}/REDIS_URL" in text
    assert f"/etc/relay/secrets/{other}" not in text.replace(f"InaccessiblePaths=/etc/relay/secrets/{other}", "")


@pytest.mark.parametrize(
    ("service", "may_write"), [("web", ["/etc/relay/config /etc/relay/secrets/web"]), ("workers", []), ("backup", [])]
)
def test_the_web_process_writes_the_configuration_and_its_own_secrets_and_no_other_does(
    service: str, may_write: list[str]
) -> None:
    text = (UNITS / f"relay-{service}.service").read_text("utf-8")
    lines = re.findall(r"^Environment=(.+)$", text, re.MULTILINE)

    assert setting(f"relay-{service}.service", "ProtectSystem") == "strict"
    assert re.findall(r"^ReadWritePaths=(.+)$", text, re.MULTILINE) == may_write
    assert {"RELAY_CONFIG=/etc/relay/config", "RELAY_SECRETS=/etc/relay/secrets"} <= {*" ".join(lines).split()}


def test_requests_and_calls_may_end_before_a_service_is_killed() -> None:
    (graceful,) = re.findall(
        r"^graceful_timeout = (\d+)$", (CONFIG / "gunicorn.conf.py").read_text("utf-8"), re.MULTILINE
    )

    assert int(setting("relay-web.service", "TimeoutStopSec")) > int(graceful)
    assert int(setting("relay-workers.service", "TimeoutStopSec")) > STOP_S


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[str], dict[str, str]]]:
    """Debian's Redis as relay-record.service starts it: its socket, what reloads the users, and the environment."""
    folder = tmp_path_factory.mktemp("r")
    for user in ("web", "worker"):
        (folder / user).write_text(f"unix://{user}:password-of-{user}@/run/relay-record/record.sock\n", "utf-8")
    environ = os.environ | {"CREDENTIALS_DIRECTORY": str(folder), "RUNTIME_DIRECTORY": str(folder)}

    def command(name: str) -> list[str]:
        text = setting("relay-record.service", name).replace("/opt/relay/current", str(REPOSITORY))
        text = text.replace("/run/relay-record", str(folder)).replace("/var/lib/relay-record", str(folder))
        return shlex.split(text.replace("--supervised systemd", ""))

    subprocess.run(command("ExecStartPre"), env=environ, check=True)
    arguments = command("ExecStart")
    assert arguments[0] == "/usr/bin/redis-server"
    process = subprocess.Popen(["redis-server", *arguments[1:]], executable=REDIS_7, stdout=subprocess.DEVNULL)
    try:
        until((folder / "record.sock").exists, "the server to listen")
        yield folder / "record.sock", command("ExecStartPre"), environ
    finally:
        process.terminate()
        process.wait(20)


def test_web_and_workers_have_a_user_each_on_the_record(record: tuple[Path, list[str], dict[str, str]]) -> None:
    sock, _, _ = record
    for user in ("web", "worker"):
        store = Store.open(f"unix://{user}:password-of-{user}@{sock}")
        store.begin()
        store.close()
    web = Redis(unix_socket_path=str(sock), username="web", password="password-of-web")
    with web, pytest.raises(NoPermissionError):
        web.set("relay:tokens:main", "stolen")
    stranger = Redis(unix_socket_path=str(sock), username="web", password="password-of-worker")
    with stranger, pytest.raises(AuthenticationError):
        stranger.ping()
    with Redis(unix_socket_path=str(sock)) as nobody:
        assert nobody.ping()
        with pytest.raises(NoPermissionError):
            nobody.get("relay:format")


def test_changed_users_are_taken_without_a_restart(record: tuple[Path, list[str], dict[str, str]]) -> None:
    sock, write_users, environ = record
    (sock.parent / "web").write_text("unix://web:another-password@/run/relay-record/record.sock\n", "utf-8")

    subprocess.run(write_users, env=environ, check=True)
    with Redis(unix_socket_path=str(sock)) as nobody:
        nobody.acl_load()

    with Redis(unix_socket_path=str(sock), username="web", password="another-password") as web:
        assert web.ping()


def test_no_password_is_in_what_the_server_reads(record: tuple[Path, list[str], dict[str, str]]) -> None:
    sock, _, _ = record
    users = (sock.parent / "users.acl").read_text("utf-8")

    assert "password" not in users.replace("nopass", "")
    assert hashlib.sha256(b"password-of-worker").hexdigest() in users
