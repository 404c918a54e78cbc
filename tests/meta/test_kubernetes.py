"""config/deploy/kubernetes/: manifests that Kubernetes takes, that name what there is, and give each part little."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from relay import __version__
from relay.cli.main import build_parser as relay_parser
from relay.configuration.files import side_of
from relay.configuration.settings import Settings
from tests.support.folders import REPOSITORY
from workers.__main__ import build_parser as workers_parser

FOLDER = REPOSITORY / "config" / "deploy" / "kubernetes"
FILES = sorted(path for path in FOLDER.rglob("*.yaml") if path.name != "kustomization.yaml")
COMPOSE = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text("utf-8"))
SIDES = {"web": "web", "workers": "workers", "backup": "workers"}
"""Which side's secrets a part may see."""


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text("utf-8")))


MANIFESTS = [(f"{one['kind']}/{one['metadata']['name']}", one) for path in FILES for one in documents(path)]
BY_NAME = dict(MANIFESTS)


def pod_of(manifest: dict[str, Any]) -> dict[str, Any] | None:
    spec = manifest["spec"].get("jobTemplate", manifest).get("spec", {}) if "spec" in manifest else {}
    found: dict[str, Any] | None = spec.get("template", {}).get("spec")
    return found


PODS = {one["metadata"]["name"]: pod for _, one in MANIFESTS if (pod := pod_of(one))}
CONTAINERS = [
    (f"{name}/{container['name']}", pod, container)
    for name, pod in PODS.items()
    for container in [*pod.get("initContainers", []), *pod["containers"]]
]
MAIN = {name: pod["containers"][0] for name, pod in PODS.items()}


def environment(name: str) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in MAIN[name].get("env", [])}


@pytest.mark.parametrize("manifest", [pytest.param(one, id=name) for name, one in MANIFESTS])
def test_each_manifest_fits_the_schema_of_kubernetes(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_every_file_is_named_in_a_kustomization_and_every_named_one_is_there() -> None:
    named = set()
    for path in FOLDER.rglob("kustomization.yaml"):
        (kustomization,) = documents(path)
        named |= {(path.parent / one).resolve() for one in kustomization["resources"]}
    assert named == {*FILES, FOLDER / "base"}


def test_the_parts_are_there() -> None:
    assert PODS.keys() == {"web", "workers", "redis", "backup"}
    assert {
        "HorizontalPodAutoscaler/web",
        "PodDisruptionBudget/web",
        "Ingress/public",
        "Service/redis",
    } <= BY_NAME.keys()
    assert BY_NAME["HorizontalPodAutoscaler/web"]["spec"]["minReplicas"] >= 2
    assert "replicas" not in BY_NAME["StatefulSet/web"]["spec"], "applied again, it would undo the autoscaler"


@pytest.mark.parametrize(("pod", "container"), [pytest.param(pod, one, id=name) for name, pod, one in CONTAINERS])
def test_each_container_has_few_rights(pod: dict[str, Any], container: dict[str, Any]) -> None:
    """What the standard "restricted" asks for, and a root that is only read."""
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False, "a Service named relay would set RELAY_PORT"
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}


@pytest.mark.parametrize(("name", "side"), SIDES.items())
def test_each_part_sees_the_secrets_of_its_side_and_no_other(name: str, side: str) -> None:
    secrets = {one["secret"]["secretName"] for one in PODS[name]["volumes"] if "secret" in one}
    assert secrets == {f"relay-{side}"}
    files = {value for key, value in environment(name).items() if key.endswith("_FILE")}
    assert files
    assert all(value.startswith(f"/etc/relay/secrets/{side}/") for value in files)
    assert "secretRef" not in str(PODS[name]), "what is in the environment is seen by whoever sees the process"
    assert "secretKeyRef" not in str(PODS[name])


@pytest.mark.parametrize(("name", "secret"), [("web", "SOURCE_SHOP_SECRET"), ("workers", "PORTAL_MAIN_WEBHOOK_URL")])
def test_a_key_of_a_secret_is_a_secret_of_that_name_and_nothing_mounted_is_written(name: str, secret: str) -> None:
    folder = f"{environment(name)['RELAY_SECRETS']}/{side_of(secret)}"
    mounted = {mount["mountPath"]: mount for mount in MAIN[name]["volumeMounts"]}
    assert mounted[folder] == {"name": "secrets", "mountPath": folder, "readOnly": True}
    assert {mount["name"] for mount in mounted.values() if not mount.get("readOnly")} == {"state", "tmp"}


def test_the_backup_sees_the_address_of_the_record_and_no_portals_credential() -> None:
    (volume,) = [one["secret"] for one in PODS["backup"]["volumes"] if "secret" in one]
    assert [item["key"] for item in volume["items"]] == ["REDIS_URL"]


def test_the_record_gets_the_passwords_that_its_script_reads() -> None:
    (volume,) = [one["projected"] for one in PODS["redis"]["volumes"] if "projected" in one]
    given = {item["path"] for one in volume["sources"] for item in one["secret"]["items"]}
    script = (REPOSITORY / "config" / "redis" / "start.sh").read_text("utf-8")
    assert given == {"redis_url_web", "redis_url_worker", "redis_replica_password"}
    assert "redis_url_$1" in script
    assert "redis_replica_password" in script
    assert MAIN["redis"]["command"][:3] == ["sh", "/etc/relay/redis/start.sh", "/etc/relay/redis.conf"]


@pytest.mark.parametrize("name", SIDES)
def test_every_variable_is_one_that_the_relay_reads(name: str) -> None:
    known = {"REDIS_URL"} | {f"RELAY_{field.upper()}" for field in Settings.__dataclass_fields__}
    assert {key.removesuffix("_FILE") for key in environment(name)} <= known


def test_the_settings_of_web_and_workers_are_accepted() -> None:
    for name in ("web", "workers"):
        given = environment(name) | {"REDIS_URL_FILE": "", "REDIS_URL": "redis://redis:6379/0"}
        given |= {"RELAY_CONFIG": str(REPOSITORY / "config"), "RELAY_SECRETS": ""}
        settings = Settings.from_environment(given)
        assert settings.state == Path("/state")
    assert environment("web")["RELAY_TRUSTED_PROXIES"]


def test_every_command_is_one_that_there_is() -> None:
    assert relay_parser().parse_args(MAIN["web"]["args"][1:])
    assert MAIN["web"]["args"][0] == "relay"
    assert MAIN["workers"]["args"] == ["workers"]
    assert workers_parser().parse_args([])
    words = MAIN["backup"]["command"][2].replace("$(date +%u)", "1").split()
    assert words[:4] == ["exec", "python", "-m", "relay"]
    assert relay_parser().parse_args(words[4:])


@pytest.mark.parametrize(("pod", "container"), [pytest.param(pod, one, id=name) for name, pod, one in CONTAINERS])
def test_what_is_mounted_is_a_volume_of_the_pod(pod: dict[str, Any], container: dict[str, Any]) -> None:
    volumes = {volume["name"] for volume in pod["volumes"]}
    claims = {
        claim["metadata"]["name"]
        for _, one in MANIFESTS
        if pod_of(one) is pod
        for claim in one["spec"].get("volumeClaimTemplates", [])
    }
    assert {mount["name"] for mount in container["volumeMounts"]} <= volumes | claims


def test_what_is_acknowledged_from_a_pods_disk_stays_when_the_pod_goes() -> None:
    for name in ("web", "workers"):
        (claim,) = BY_NAME[f"StatefulSet/{name}"]["spec"]["volumeClaimTemplates"]
        assert {"name": claim["metadata"]["name"], "mountPath": environment(name)["RELAY_STATE"]} in MAIN[name][
            "volumeMounts"
        ]


def test_what_init_containers_copy_is_in_the_image() -> None:
    (copied,) = [one["command"] for one in PODS["redis"]["initContainers"]]
    for path in copied[2:-1]:
        assert (REPOSITORY / path.removeprefix("/app/")).exists()


def test_probes_ask_where_the_relay_answers(app: Any) -> None:
    routes = {rule.rule for rule in app.url_map.iter_rules()}
    probes = {name: MAIN["web"][f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert {one["path"] for one in probes.values()} <= routes
    assert {one["port"] for one in probes.values()} == {"http"}
    assert MAIN["web"]["ports"] == [{"name": "http", "containerPort": int(environment("web")["RELAY_PORT"])}]
    assert probes["readiness"]["path"] == "/healthz", "without the record it spools, so it stays in line"


def test_services_and_the_ingress_lead_to_ports_that_there_are() -> None:
    for name in ("web", "redis"):
        service = BY_NAME[f"Service/{name}"]["spec"]
        (port,) = service["ports"]
        assert port["targetPort"] in {one["name"] for one in MAIN[name]["ports"]}
        labels = BY_NAME[f"StatefulSet/{name}"]["spec"]["template"]["metadata"]["labels"]
        assert service["selector"].items() <= labels.items()
    (rule,) = BY_NAME["Ingress/public"]["spec"]["rules"]
    assert {one["path"] for one in rule["http"]["paths"]} == {"/hooks", "/done", "/app", "/schemas"}
    assert {one["backend"]["service"]["name"] for one in rule["http"]["paths"]} == {"web"}


def policy(name: str) -> dict[str, Any]:
    found: dict[str, Any] = BY_NAME[f"NetworkPolicy/{name}"]["spec"]
    return found


def test_nothing_is_allowed_that_is_not_named() -> None:
    assert policy("nothing") == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_only_workers_reach_the_internet_and_they_reach_nothing_inside() -> None:
    reaching = {
        name
        for name, one in MANIFESTS
        if one["kind"] == "NetworkPolicy" and "ipBlock" in str(one["spec"].get("egress"))
    }
    assert reaching == {"NetworkPolicy/workers"}
    (_, outside) = policy("workers")["egress"]
    blocks = {block["ipBlock"]["cidr"]: block["ipBlock"]["except"] for block in outside["to"]}
    assert blocks.keys() == {"0.0.0.0/0", "::/0"}
    assert {"10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"} <= set(blocks["0.0.0.0/0"])
    assert "ingress" not in policy("workers")


def test_the_record_is_reached_by_those_who_need_it_and_reaches_nobody() -> None:
    record = policy("record")
    assert "egress" not in record
    (allowed,) = record["ingress"]
    (who,) = [one["podSelector"]["matchExpressions"][0]["values"] for one in allowed["from"]]
    assert sorted(who) == sorted(SIDES)
    for name in who:
        to = {"podSelector": {"matchLabels": {"app.kubernetes.io/component": "record"}}}
        assert any(to in one["to"] for one in policy(name)["egress"])


def test_images_and_limits_are_those_of_compose() -> None:
    (kustomization,) = documents(FOLDER / "example" / "kustomization.yaml")
    relay, valkey = kustomization["images"]
    assert relay["newTag"] == __version__
    assert COMPOSE["services"]["redis"]["image"].endswith(f"@{valkey['digest']}")
    assert {container["image"] for _, _, container in CONTAINERS} == {relay["name"], valkey["name"]}
    assert MAIN["redis"]["resources"]["limits"]["memory"] == COMPOSE["services"]["redis"]["mem_limit"].replace(
        "g", "Gi"
    )
    check = [line for line in COMPOSE["services"]["worker"]["healthcheck"]["test"] if "import" in line]
    assert check[0] in MAIN["workers"]["readinessProbe"]["exec"]["command"]


def test_a_pod_has_as_long_to_end_as_a_container_of_compose() -> None:
    compose = {
        name: int(COMPOSE["services"][name]["stop_grace_period"].removesuffix("s")) for name in ("web", "worker")
    }
    pause = int(MAIN["web"]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert PODS["web"]["terminationGracePeriodSeconds"] - pause >= compose["web"]
    assert PODS["workers"]["terminationGracePeriodSeconds"] >= compose["worker"]


def test_the_example_takes_its_files_from_where_setup_puts_them() -> None:
    (kustomization,) = documents(FOLDER / "example" / "kustomization.yaml")
    made = {one["name"]: one for one in kustomization["configMapGenerator"]}
    used = {
        *(one["configMapRef"]["name"] for container in MAIN.values() for one in container.get("envFrom", [])),
        *(one["configMap"]["name"] for pod in PODS.values() for one in pod["volumes"] if "configMap" in one),
    }
    assert made.keys() == used
    files = [file for one in made.values() for file in one.get("files", [])]
    assert all(re.fullmatch(r"config/(rules/)?[\w-]+\.yaml", file) for file in files)
    text = (FOLDER / "example" / "kustomization.yaml").read_text("utf-8")
    assert "for side in web workers record;" in text
    assert "secretGenerator" not in kustomization, "secrets do not belong into a folder that is kept in git"
