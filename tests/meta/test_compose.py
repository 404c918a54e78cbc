"""docker-compose.yml: each process gets its own secrets and no other, and few rights."""

import ast
import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from relay import __version__
from relay.runtime import processes
from relay.runtime.processes import Child, Supervisor
from relay.runtime.up import WORKER_STOP_S
from workers.__main__ import STOP_S
from workers.bitrix24.client import CONNECT_TIMEOUT_S, READ_TIMEOUT_S

ROOT = Path(__file__).parents[2]
OURS = ("web", "worker", "sandbox")
SENTINELS = ("sentinel-1", "sentinel-2", "sentinel-3")
VALKEYS = ("redis", "replica", *SENTINELS)
EVERY_SERVICE = (*VALKEYS, *OURS)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    return loaded


def variables(compose: dict[str, Any], service: str) -> dict[str, str]:
    found: dict[str, str] = compose["services"][service].get("environment", {})
    return found


def config(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "config" / name).read_text("utf-8"))
    return loaded


def test_there_is_a_record_a_web_process_a_worker_and_on_request_a_sandbox_or_a_replica(
    compose: dict[str, Any],
) -> None:
    assert set(compose["services"]) == set(EVERY_SERVICE)
    profiles = {name: service["profiles"] for name, service in compose["services"].items() if "profiles" in service}
    assert profiles == {"sandbox": ["sandbox"], **{name: ["ha"] for name in ("replica", *SENTINELS)}}


def test_web_and_workers_wait_for_as_many_replicas_as_the_primary_needs(compose: dict[str, Any]) -> None:
    waited = {variables(compose, service)["RELAY_REPLICAS"] for service in ("web", "worker")}
    command = compose["services"]["redis"]["command"]
    assert waited == {command[command.index("--min-replicas-to-write") + 1]}
    (url,) = re.findall(r"#\s+(redis\+sentinel://\S+)", (ROOT / "docker-compose.yml").read_text("utf-8"))
    hosts, service = re.fullmatch(r"redis\+sentinel://USER:PASSWORD@(.+)/(\w+)/0", url).groups()  # type: ignore[union-attr]
    assert [host.partition(":")[0] for host in hosts.split(",")] == list(SENTINELS)
    assert f"sentinel monitor {service} redis 6379 2" in (ROOT / "config" / "redis" / "sentinel.conf").read_text(
        "utf-8"
    )


def test_what_sentinels_write_is_on_a_disk_that_stays(compose: dict[str, Any]) -> None:
    for name in ("replica", *SENTINELS):
        assert f"{name}:/data" in compose["services"][name]["volumes"]
        assert name in compose["volumes"]
        assert "/data/" in str(compose["services"][name]["command"])


def test_the_web_process_gets_no_portal_credential(compose: dict[str, Any]) -> None:
    assert not [name for name in variables(compose, "web") if name.startswith("PORTAL_")]
    assert not [name for name in compose["services"]["web"]["secrets"] if name.startswith("portal_")]


def test_the_worker_gets_no_senders_secret_and_no_key_to_the_dashboard(compose: dict[str, Any]) -> None:
    foreign = ("SOURCE_", "RELAY_DASHBOARD", "RELAY_SECRET", "RELAY_API")
    assert not [name for name in variables(compose, "worker") if name.startswith(foreign)]
    assert not [name for name in compose["services"]["worker"]["secrets"] if name.upper().startswith(foreign)]


def test_the_record_has_users_and_the_web_process_knows_only_its_own(compose: dict[str, Any]) -> None:
    for name in ("redis", "replica"):
        assert "/etc/relay/redis/start.sh" in str(compose["services"][name]["command"])
        assert set(compose["services"][name]["secrets"]) >= {"redis_url_web", "redis_url_worker"}
    for name in SENTINELS:
        assert "auth-user main replica" in str(compose["services"][name]["command"])
    own = {name: [one for one in compose["services"][name]["secrets"] if one.startswith("redis")] for name in OURS[:2]}
    assert own == {"web": ["redis_url_web"], "worker": ["redis_url_worker"]}
    assert not [name for service in OURS for name in variables(compose, service) if name == "REDIS_URL"]


def test_the_sandbox_gets_no_secret_at_all(compose: dict[str, Any]) -> None:
    assert not variables(compose, "sandbox")
    assert "secrets" not in compose["services"]["sandbox"]


@pytest.mark.parametrize("service", ["web", "worker"])
def test_each_secret_is_a_file_that_is_declared_and_handed_to_the_service(
    compose: dict[str, Any], service: str
) -> None:
    files = {value for name, value in variables(compose, service).items() if name.endswith("_FILE")}
    assert files == {f"/run/secrets/{name}" for name in compose["services"][service]["secrets"]}
    for name in compose["services"][service]["secrets"]:
        assert compose["secrets"][name] == {"file": f"./var/secrets/{name}"}
    values = [name for name in variables(compose, service) if name.endswith(("_TOKEN", "_SECRET", "_PASSWORD", "_KEY"))]
    assert values == []


def test_the_lines_to_be_uncommented_make_a_file_that_holds() -> None:
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    names = re.findall(r"^ +# (\w+)_FILE: /run/secrets/(\w+)$", text, re.MULTILINE)
    assert {name for name, _ in names} >= {"RELAY_VIEWER_PASSWORD", "ALERT_ON_CALL_URL", "ALERT_ON_CALL_SECRET"}
    for name, secret in names:
        assert secret == name.lower()
        assert f"  # {secret}: {{file: ./var/secrets/{secret}}}" in text.partition("\nsecrets:")[2]
    uncommented = yaml.safe_load(re.sub(r"^( +)# (\w+: )", r"\1\2", text, flags=re.MULTILINE))
    assert uncommented["services"]["web"]["environment"]["RELAY_OPERATORS"]


def test_every_source_and_every_portal_of_the_shipped_configuration_gets_its_secret(compose: dict[str, Any]) -> None:
    sources = config("sources.yaml")["sources"].values()
    senders = {f"{name}_FILE" for source in sources for name in source["verify"].get("secrets", [])}
    assert senders <= variables(compose, "web").keys()
    portals = {
        f"PORTAL_{name.upper().replace('-', '_')}_WEBHOOK_URL_FILE" for name in config("portals.yaml")["portals"]
    }
    assert portals <= variables(compose, "worker").keys()


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
    images = {service["image"] for service in compose["services"].values()} - {f"relay:{__version__}"}
    assert len(stages) == 2
    assert len(set(stages)) == 1
    for image in [*images, *stages]:
        assert re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+[\w.-]*@sha256:[0-9a-f]{64}", image), image


@pytest.mark.parametrize("service", EVERY_SERVICE)
def test_each_service_has_few_rights_and_says_whether_it_is_well(compose: dict[str, Any], service: str) -> None:
    settings = compose["services"][service]
    assert settings["read_only"] is True
    assert settings["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in settings["security_opt"]
    assert "privileged" not in settings
    checked_in_image = service == "web"
    assert checked_in_image or settings["healthcheck"]["test"][0] == "CMD"
    assert "curl" not in str(settings.get("healthcheck"))


def test_only_the_web_process_is_reachable_and_only_from_this_machine(compose: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert published.keys() == {"web"}
    assert all(port.startswith("127.0.0.1:") for port in published["web"])
    assert all(compose["services"][name]["networks"] == ["record"] for name in VALKEYS)
    assert compose["networks"]["record"]["internal"] is True


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
