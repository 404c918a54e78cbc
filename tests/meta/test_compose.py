"""docker-compose.yml: each process gets its own secrets and no other, and few rights."""

import ast
import importlib
import json
import os
import re
import stat
import subprocess
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask import Flask

from relay import __version__
from relay.configuration.files import side_of
from relay.runtime import processes
from relay.runtime.processes import Child, Supervisor
from relay.runtime.up import WORKER_STOP_S
from tests.support.vendored import mistakes_in
from workers.__main__ import STOP_S
from workers.bitrix24.client import CONNECT_TIMEOUT_S, READ_TIMEOUT_S

ROOT = Path(__file__).parents[2]
SENTINELS = ("sentinel-1", "sentinel-2", "sentinel-3")
VALKEYS = ("redis", "replica", *SENTINELS)
PROFILES = {
    "setup": ("setup",),
    "tls": ("caddy",),
    "monitoring": ("prometheus", "grafana"),
    "ha": ("replica", *SENTINELS),
    "sandbox": ("sandbox",),
}
EVERY_SERVICE = ("redis", "web", "worker", *(name for names in PROFILES.values() for name in names))
SIDES = ("web", "worker", "setup")
FOLDER = "./var/relay"
"""What setup.sh makes on the machine; in the containers it is /etc/relay."""


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    return loaded


def variables(compose: dict[str, Any], service: str) -> dict[str, str]:
    found: dict[str, str] = compose["services"][service].get("environment", {})
    return found


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def config(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(read(f"config/{name}"))
    return loaded


CONFIGURED = ("config/prometheus/prometheus.yml", "config/redis/start.sh")
"""What names files of secrets beside docker-compose.yml."""


def mounts(compose: dict[str, Any], service: str) -> dict[str, tuple[str, bool]]:
    """What a service sees of the machine and its volumes: where, what, and whether it may write there."""
    found = {}
    for mount in compose["services"][service].get("volumes", []):
        if isinstance(mount, str):
            source, target, *options = mount.split(":")
            found[target] = (source, options != ["ro"])
        else:
            assert mount["bind"] == {"create_host_path": False}, "Docker would make a folder of root"
            found[mount["target"]] = (mount["source"], not mount.get("read_only", False))
    return found


def test_the_file_fits_the_specification_of_compose() -> None:
    assert mistakes_in(ROOT / "docker-compose.yml", "compose-spec.json") == []


def test_a_mistake_in_it_would_be_found(tmp_path: Path) -> None:
    file = tmp_path / "compose.yml"
    file.write_text(read("docker-compose.yml").replace("read_only: true", "read_onyl: true"), "utf-8")
    assert mistakes_in(file, "compose-spec.json")


def test_there_are_a_record_a_web_process_and_a_worker_and_the_rest_on_request(compose: dict[str, Any]) -> None:
    profiles: dict[str, tuple[str, ...]] = {}
    for name, service in compose["services"].items():
        for profile in service.get("profiles", []):
            profiles[profile] = (*profiles.get(profile, ()), name)
    assert profiles == PROFILES
    assert set(compose["services"]) == set(EVERY_SERVICE)


def test_web_and_workers_wait_for_as_many_replicas_as_the_primary_needs(compose: dict[str, Any]) -> None:
    waited = {variables(compose, service)["RELAY_REPLICAS"] for service in ("web", "worker", "setup")}
    command = compose["services"]["redis"]["command"]
    assert waited == {command[command.index("--min-replicas-to-write") + 1]}


def test_what_sentinels_write_is_on_a_disk_that_stays(compose: dict[str, Any]) -> None:
    for name in ("replica", *SENTINELS):
        assert f"{name}:/data" in compose["services"][name]["volumes"]
        assert name in compose["volumes"]
        assert "/data/" in str(compose["services"][name]["command"])


def test_each_side_sees_its_own_secrets_and_no_other(compose: dict[str, Any]) -> None:
    for service, side in (("web", "web"), ("worker", "workers")):
        seen = {source for source, _ in mounts(compose, service).values() if source.startswith(FOLDER)}
        assert {source for source in seen if "secrets" in source} == {f"{FOLDER}/secrets/{side}"}
        assert FOLDER not in seen
        assert "secrets" not in compose["services"][service]
        given = {name: value for name, value in variables(compose, service).items() if name.endswith("_FILE")}
        assert given
        assert all(value.startswith(f"/etc/relay/secrets/{side}/") for value in given.values())
        assert not [
            name for name in variables(compose, service) if re.search(r"(TOKEN|SECRET|PASSWORD|KEY|URL)$", name)
        ]


def test_the_dashboard_writes_the_configuration_and_each_side_its_own_secrets_and_nothing_else(
    compose: dict[str, Any],
) -> None:
    """A file is replaced whole, so the folder around it has to be writable. The workers only read the configuration."""
    writable = {
        service: {target: source for target, (source, may) in mounts(compose, service).items() if may}
        for service in ("web", "worker")
    }
    assert writable == {
        "web": {
            "/etc/relay/config": f"{FOLDER}/config",
            "/etc/relay/secrets/web": f"{FOLDER}/secrets/web",
            "/state": "web-state",
        },
        "worker": {
            "/etc/relay/secrets/workers": f"{FOLDER}/secrets/workers",
            "/backup": f"{FOLDER}/backup",
            "/state": "worker-state",
        },
    }
    assert mounts(compose, "worker")["/etc/relay/config"] == (f"{FOLDER}/config", False)
    for service, name in (("web", "SOURCE_SHOP_SECRET"), ("worker", "PORTAL_MAIN_WEBHOOK_URL")):
        assert f"{variables(compose, service)['RELAY_SECRETS']}/{side_of(name)}" in writable[service]


def test_no_server_is_given_a_file_from_a_folder_that_web_or_workers_write(compose: dict[str, Any]) -> None:
    """Docker follows a link as root: one that a process puts there would show its server any file of the machine."""
    written = [source for service in ("web", "worker") for source, may in mounts(compose, service).values() if may]
    handed = [one["file"] for one in compose["secrets"].values()]
    handed += [source for name in EVERY_SERVICE for source, _ in mounts(compose, name).values() if name not in SIDES]
    assert [one for one in handed for folder in written if f"{one}/".startswith(f"{folder}/")] == []


def test_settings_come_from_the_file_that_init_writes(compose: dict[str, Any]) -> None:
    for service in ("web", "worker"):
        assert compose["services"][service]["env_file"] == [{"path": f"{FOLDER}/.env", "required": False}]


def test_the_record_has_users_and_the_web_process_knows_only_its_own(compose: dict[str, Any]) -> None:
    for name in ("redis", "replica"):
        assert "/etc/relay/redis/start.sh" in str(compose["services"][name]["command"])
        assert set(compose["services"][name]["secrets"]) >= {"redis_url_web", "redis_url_worker"}
    for name in SENTINELS:
        assert "auth-user main replica" in str(compose["services"][name]["command"])
    assert variables(compose, "web")["REDIS_URL_FILE"] == "/etc/relay/secrets/web/REDIS_URL"
    assert variables(compose, "worker")["REDIS_URL_FILE"] == "/etc/relay/secrets/workers/REDIS_URL"
    for user in ("web", "worker"):
        assert compose["secrets"][f"redis_url_{user}"] == {"file": f"{FOLDER}/secrets/record/redis_url_{user}"}


def test_the_sandbox_gets_no_secret_at_all(compose: dict[str, Any]) -> None:
    assert not variables(compose, "sandbox")
    assert "secrets" not in compose["services"]["sandbox"]


def test_each_secret_that_is_handed_out_is_one_that_there_is_and_that_somebody_reads(compose: dict[str, Any]) -> None:
    handed = {name for service in compose["services"].values() for name in service.get("secrets", [])}
    assert handed == compose["secrets"].keys()
    used = re.findall(r"/run/secrets/(\w+)", "".join(read(name) for name in ("docker-compose.yml", *CONFIGURED)))
    assert {"relay_metrics_token", "grafana_password", "redis_replica_password"} <= set(used) <= handed


def test_what_compose_mounts_from_the_repository_is_there(compose: dict[str, Any]) -> None:
    sources = {source for name in EVERY_SERVICE for source, _ in mounts(compose, name).values()}
    ours = {source for source in sources if source.startswith("./") and not source.startswith(FOLDER)}
    assert {"./config/prometheus", "./config/deploy/Caddyfile"} <= ours
    assert [source for source in ours if not (ROOT / source).exists()] == []
    assert {source for source in sources if "/" not in source} == compose["volumes"].keys()


@pytest.mark.parametrize("service", EVERY_SERVICE)
def test_no_service_takes_the_machine_with_it(compose: dict[str, Any], service: str) -> None:
    settings = compose["services"][service]
    assert re.fullmatch(r"\d+[mg]", settings["mem_limit"])
    assert 0 < settings["pids_limit"] <= 200


def test_a_full_record_answers_before_it_is_killed(compose: dict[str, Any]) -> None:
    (limit,) = re.findall(r"^maxmemory (\d+)gb$", (ROOT / "config" / "redis.conf").read_text("utf-8"), re.MULTILINE)
    assert compose["services"]["redis"]["mem_limit"] == f"{2 * int(limit)}g"


def test_the_image_says_which_version_it_is() -> None:
    text = (ROOT / "config" / "docker" / "Dockerfile").read_text("utf-8")
    assert re.findall(r"org\.opencontainers\.image\.version=(\S+)", text) == [__version__]


def test_every_image_from_elsewhere_is_named_by_version_and_digest(compose: dict[str, Any]) -> None:
    stages = re.findall(r"^FROM (\S+)", (ROOT / "config" / "docker" / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    images = {service["image"] for service in compose["services"].values()} - {f"${{RELAY_IMAGE:-relay:{__version__}}}"}
    assert len(images) == 4
    assert len(stages) == 2
    assert len(set(stages)) == 1
    for image in [*images, *stages]:
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+[\w.-]*@sha256:[0-9a-f]{64}", image), image


@pytest.mark.parametrize("service", EVERY_SERVICE)
def test_each_service_has_few_rights_and_says_whether_it_is_well(compose: dict[str, Any], service: str) -> None:
    settings = compose["services"][service]
    assert settings["read_only"] is True
    assert settings["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in settings["security_opt"]
    assert "privileged" not in settings
    assert settings.get("cap_add", []) == (["NET_BIND_SERVICE"] if service == "caddy" else [])
    checked_elsewhere = service in {"web", "setup"}  # in the image; not at all
    assert checked_elsewhere or settings["healthcheck"]["test"][0] == "CMD"
    assert "curl" not in str(settings.get("healthcheck"))


def test_only_caddy_is_reachable_from_other_machines(compose: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert published.pop("caddy") == ["80:80", "443:443", "443:443/udp"]
    assert published.keys() == {"web", "grafana"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert all(compose["services"][name]["networks"] == ["record"] for name in VALKEYS)
    assert compose["networks"]["record"]["internal"] is True


def test_workers_have_a_way_out_and_the_web_process_has_none(compose: dict[str, Any]) -> None:
    assert compose["services"]["web"]["networks"] == ["record", "front"]
    assert compose["services"]["worker"]["networks"] == ["record", "outside"]
    assert compose["networks"]["front"]["driver_opts"] == {"com.docker.network.bridge.enable_ip_masquerade": "false"}
    assert compose["networks"]["outside"] == {}
    ways = sorted(compose["services"]["caddy"]["networks"])
    assert ways[0] == "certificates", "the first by name is the way out"


def test_the_web_process_believes_the_address_that_caddy_has(compose: dict[str, Any]) -> None:
    (pool,) = compose["networks"]["front"]["ipam"]["config"]
    caddy = ip_address(compose["services"]["caddy"]["networks"]["front"]["ipv4_address"])
    assert variables(compose, "web")["RELAY_TRUSTED_PROXIES"] == f"${{RELAY_TRUSTED_PROXIES:-{caddy}}}"
    assert caddy in ip_network(pool["subnet"])
    assert caddy not in ip_network(pool["ip_range"]), "another container could be given it"
    assert ip_address(pool["gateway"]) not in ip_network(pool["ip_range"])


def test_only_what_senders_and_portals_call_is_public(app: Flask, compose: dict[str, Any]) -> None:
    text = read("config/deploy/Caddyfile")
    assert re.findall(r"reverse_proxy (\S+)", text) == ["{$RELAY_UPSTREAM:127.0.0.1:8080}"]
    assert variables(compose, "caddy")["RELAY_UPSTREAM"] == "web:8080"
    (public,) = re.findall(r"^\t@public path (.+)$", text, re.MULTILINE)
    assert public.split() == ["/hooks/*", "/done/*", "/app/*", "/schemas/*"]
    taken = {rule.rule.split("/")[1] for rule in app.url_map.iter_rules()}
    assert {"hooks", "done"} <= taken
    assert re.search(r"\n\thandle \{\n\t\trespond 404\n\t\}\n\}\n", text), "nothing else is"
    assert re.search(r"^http://, https:// \{\n\trespond 421\n\}\n", text, re.MULTILINE), "an empty 200 is no receipt"


def test_the_monitoring_asks_the_web_process_and_shows_our_dashboard(compose: dict[str, Any]) -> None:
    (job,) = config("prometheus/prometheus.yml")["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["web:8080"]}]
    assert f'up{{job="{job["job_name"]}"}}' in read("config/prometheus/alerts.yml")
    (source,) = config("grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert source["type"] == json.loads(read("config/grafana/relay.json"))["templating"]["list"][0]["query"]
    (provider,) = config("grafana/provisioning/dashboards/relay.yml")["providers"]
    assert f"{provider['options']['path']}/relay.json" in mounts(compose, "grafana")


COPIES = {
    "web/REDIS_URL": "record/redis_url_web",
    "web/RELAY_METRICS_TOKEN": "monitoring/relay_metrics_token",
    "workers/REDIS_URL": "record/redis_url_worker",
}
"""What web and workers read, and the file of which it is a copy."""


class Setup:
    """config/deploy/setup.sh in a folder of its own. `relay init` stands for itself: it has tests of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "relay"
        self.folder.mkdir()
        self.given = folder / "given"
        self.python = folder / "python"
        self.python.write_text(
            f"#!/bin/sh\nif [ \"$1 $2 $3\" = '-m relay init' ]; then\n"
            f'  shift 3; printf "%s\\n" "$@" >> {self.given}; touch "$1/.env"; exit ${{STATUS:-0}}\n'
            f'else exec {sys.executable} "$@"; fi\n'
        )
        self.python.chmod(0o755)

    def run(self, *options: str, **environ: str) -> int:
        return subprocess.run(
            ["sh", ROOT / "config" / "deploy" / "setup.sh", self.folder, *options],
            env={"PATH": os.environ["PATH"], "PYTHON": str(self.python), **environ},
            check=False,
            capture_output=True,
        ).returncode

    def asked(self) -> list[str]:
        """What `relay init` was given."""
        return self.given.read_text().splitlines() if self.given.exists() else []

    def secrets(self) -> dict[str, str]:
        files = (self.folder / "secrets").rglob("*")
        return {str(path.relative_to(self.folder)): path.read_text().strip() for path in files if path.is_file()}


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


def test_setup_makes_every_secret_that_compose_and_kubernetes_name_beside_those_of_init(
    setup: Setup, compose: dict[str, Any]
) -> None:
    assert setup.run(RELAY_DOMAIN="relay.example.com") == 0

    assert setup.asked() == [str(setup.folder), "--public-url", "https://relay.example.com"]
    made = setup.secrets()
    assert re.fullmatch(r"redis://web:[\w-]{32}@redis:6379/0", made["secrets/web/REDIS_URL"])
    assert re.fullmatch(r"redis://worker:[\w-]{32}@redis:6379/0", made["secrets/workers/REDIS_URL"])
    copies = [made.pop(f"secrets/{name}") for name in COPIES]
    assert copies == [made[f"secrets/{name}"] for name in COPIES.values()]
    assert made.keys() == {one["file"].removeprefix(f"{FOLDER}/") for one in compose["secrets"].values()}
    assert len(set(made.values())) == len(made)
    assert (setup.folder / "backup").is_dir()


def test_setup_lets_servers_of_other_images_read_what_is_theirs_and_hides_the_folders(setup: Setup) -> None:
    setup.run()

    for path in (setup.folder / "secrets").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o644)


def test_setup_keeps_the_passwords_that_an_earlier_version_made(setup: Setup) -> None:
    for side, user in (("web", "web"), ("workers", "worker")):
        (setup.folder / "secrets" / side).mkdir(parents=True)
        url = f"redis://{user}:password-of-{user}@redis:6379/0\n"
        (setup.folder / "secrets" / side / "REDIS_URL").write_text(url)
    (setup.folder / "secrets" / "web" / "RELAY_METRICS_TOKEN").write_text("the-token-that-is-known\n")

    assert setup.run() == 0

    made = setup.secrets()
    for name in ("record/redis_url_web", "web/REDIS_URL"):
        assert made[f"secrets/{name}"] == "redis://web:password-of-web@redis:6379/0"
    assert made["secrets/record/redis_url_worker"] == "redis://worker:password-of-worker@redis:6379/0"
    assert made["secrets/monitoring/relay_metrics_token"] == "the-token-that-is-known"
    assert made["secrets/web/RELAY_METRICS_TOKEN"] == "the-token-that-is-known"


def test_what_a_process_has_put_in_the_place_of_its_copy_is_not_read_by_setup(setup: Setup) -> None:
    setup.run()
    before = setup.secrets()
    for name in ("REDIS_URL", "RELAY_METRICS_TOKEN"):
        (setup.folder / "secrets" / "web" / name).unlink()
        (setup.folder / "secrets" / "web" / name).symlink_to("../workers/REDIS_URL")

    setup.run()

    assert setup.secrets() == before
    assert not [path for path in (setup.folder / "secrets").rglob("*") if path.is_symlink()]


def test_setup_changes_no_secret_and_asks_nothing_the_second_time(setup: Setup) -> None:
    setup.run()
    before, asked = setup.secrets(), setup.asked()
    setup.run()

    assert setup.secrets() == before
    assert setup.asked() == asked


def test_setup_makes_the_rest_though_a_file_is_still_to_be_mended_and_says_so(setup: Setup) -> None:
    assert setup.run(STATUS="1") == 1
    assert "secrets/web/REDIS_URL" in setup.secrets()


def test_setup_finds_the_record_by_sentinels_once_there_are_replicas_and_keeps_the_passwords(setup: Setup) -> None:
    setup.run()
    before = setup.secrets()["secrets/web/REDIS_URL"]
    setup.run(RELAY_REPLICAS="1")
    after = setup.secrets()["secrets/web/REDIS_URL"]
    setup.run(RELAY_REPLICAS="0")

    found = re.fullmatch(r"redis\+sentinel://web:([\w-]+)@([\w.:,-]+)/(\w+)/0", after)
    assert found
    assert f":{found[1]}@" in before
    assert [host.partition(":")[0] for host in found[2].split(",")] == list(SENTINELS)
    assert f"sentinel monitor {found[3]} redis 6379 2" in read("config/redis/sentinel.conf")
    assert setup.secrets()["secrets/web/REDIS_URL"] == before


def test_the_sandbox_shares_the_workers_loopback_because_plain_http_goes_nowhere_else(compose: dict[str, Any]) -> None:
    assert compose["services"]["sandbox"]["network_mode"] == "service:worker"


class DeafProcess:
    """A child that ends only when it is killed. Waiting for it moves the clock and takes no time."""

    def __init__(self, clock: list[float]) -> None:
        self.clock = clock
        self.exitcode: int | None = None

    def terminate(self) -> None:
        """Hear nothing."""

    def join(self, timeout: float = 0.0) -> None:
        self.clock[0] += timeout

    def kill(self) -> None:
        self.exitcode = -9


def seconds_to_stop(portals: int, monkeypatch: pytest.MonkeyPatch) -> float:
    """How long `python -m workers` takes to end, at most, with so many portals in mid-call."""
    clock = [0.0]
    monkeypatch.setattr(processes.time, "monotonic", lambda: clock[0])
    deaf: list[Any] = [DeafProcess(clock) for _ in range(portals)]
    Supervisor([Child(f"worker-{n}", print, stop_s=STOP_S, process=one) for n, one in enumerate(deaf)]).stop()
    assert all(one.exitcode == -9 for one in deaf)
    return clock[0] + processes.POLL_S


@pytest.mark.parametrize("portals", [1, 2, 10])
def test_workers_may_finish_the_calls_they_are_in_however_many_portals_there_are(
    compose: dict[str, Any], portals: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest_call = CONNECT_TIMEOUT_S + READ_TIMEOUT_S
    needed = seconds_to_stop(portals, monkeypatch)
    assert needed > longest_call, "a call that was answered has still to be settled"
    assert float(compose["services"]["worker"]["stop_grace_period"].removesuffix("s")) > needed
    assert needed < WORKER_STOP_S, "`up` waits as long as a container does"


def test_the_check_of_the_workers_health_imports_what_there_is(compose: dict[str, Any]) -> None:
    (code,) = [line for line in compose["services"]["worker"]["healthcheck"]["test"] if "import" in line]
    imports = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]
    assert imports
    for node in imports:
        module = importlib.import_module(node.module or "")
        assert not [name.name for name in node.names if not hasattr(module, name.name)]


def test_the_image_runs_as_a_user_without_rights_and_installs_by_hash() -> None:
    text = (ROOT / "config" / "docker" / "Dockerfile").read_text("utf-8")
    final = text.split("\nFROM ")[-1]
    assert "\nUSER 10001:10001\n" in final
    assert "\nHEALTHCHECK " in final
    assert "curl" not in text
    assert "--require-hashes" in text


def test_the_image_gets_neither_secrets_nor_history_nor_tests() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule for rule in rules if rule.startswith("!")} == {"!requirements.txt", "!relay/", "!workers/", "!config/"}
