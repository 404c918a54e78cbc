"""A release: the list of parts is whole, the workflow is what GitHub takes, and every place names one version."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from relay import __version__
from tests.support.folders import REPOSITORY
from tests.support.sbom import write
from tests.support.vendored import mistakes_in

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
RELEASE = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "release.yml").read_text("utf-8"))
CHANGELOG = (REPOSITORY / ".github" / "CHANGELOG.md").read_text("utf-8")
LOCKED = re.compile(r"^([a-z0-9-]+)==(\S+) \\((?:\n    --hash=sha256:[0-9a-f]{64}(?: \\)?)+)", re.MULTILINE)


@pytest.fixture(scope="module")
def sbom(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("sbom") / "relay.cdx.json"
    write(file)
    loaded: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return loaded


def test_the_list_of_parts_has_every_locked_package_and_nothing_else(sbom: dict[str, Any]) -> None:
    lock = (REPOSITORY / "requirements.txt").read_text("utf-8")
    locked = {(name, version) for name, version, _ in LOCKED.findall(lock)}
    assert len(locked) == len(re.findall(r"^\S+==", lock, re.MULTILINE))
    assert {(one["name"], one["version"]) for one in sbom["components"]} == locked
    assert {one["purl"].partition("?")[0] for one in sbom["components"]} == {f"pkg:pypi/{n}@{v}" for n, v in locked}


def test_the_list_of_parts_has_every_hash_of_the_lock(sbom: dict[str, Any]) -> None:
    lock = (REPOSITORY / "requirements.txt").read_text("utf-8")
    hashes = set(re.findall(r"sha256:([0-9a-f]{64})", lock))
    assert hashes <= set(re.findall(r'"content": "([0-9a-f]{64})"', json.dumps(sbom)))


def test_the_list_of_parts_says_what_it_is_of(sbom: dict[str, Any]) -> None:
    assert sbom["bomFormat"] == "CycloneDX"
    root = sbom["metadata"]["component"]
    assert (root["type"], root["name"], root["version"]) == ("application", "relay", __version__)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_fits_the_schema_of_github(path: Path) -> None:
    assert mistakes_in(path, "github-workflows.json") == []


def steps(job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = RELEASE["jobs"][job]["steps"]
    return found


def test_nothing_is_released_that_was_not_tested() -> None:
    assert RELEASE["jobs"]["release"]["needs"] == "test"
    assert {"run": "bash .ci/run"} in steps("test")


def test_the_image_is_for_both_processors_and_says_where_it_comes_from() -> None:
    (build,) = [one["with"] for one in steps("release") if one.get("id") == "build"]
    assert build["platforms"] == "linux/amd64,linux/arm64"
    assert (REPOSITORY / build["file"]).exists()
    assert (build["provenance"], build["sbom"]) == ("mode=max", True)
    assert {"version", "created", "revision", "source"} == set(re.findall(r"image\.(\w+)=", build["labels"]))


def test_the_image_is_signed_by_its_digest_and_without_a_key() -> None:
    text = (REPOSITORY / ".github" / "workflows" / "release.yml").read_text("utf-8")
    assert 'cosign sign --yes "$IMAGE"' in text
    assert "IMAGE: ${{ steps.name.outputs.image }}@${{ steps.build.outputs.digest }}" in text
    assert "--key" not in text
    assert RELEASE["permissions"] == {"contents": "read"}
    assert "permissions" not in RELEASE["jobs"]["test"]


def test_no_step_puts_what_others_name_into_a_script() -> None:
    """An expression in a script is text of the script: a tag's name could be a command."""
    scripts = [one["run"] for job in RELEASE["jobs"] for one in steps(job) if "run" in one]
    assert [script for script in scripts if "${{" in script] == []


def test_the_changelog_has_the_version_with_the_headings_that_people_know() -> None:
    heads = re.findall(r"^## (.+)$", CHANGELOG, re.MULTILINE)
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", head) for head in heads)
    assert heads[0].startswith(f"[{__version__}]")
    known = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", CHANGELOG, re.MULTILINE)) <= known


def test_the_notes_of_a_release_are_its_part_of_the_changelog(tmp_path: Path) -> None:
    (script,) = [one["run"] for one in steps("release") if one.get("name") == "Publish"]
    command = script.splitlines()[0].partition(" > ")[0]
    notes = subprocess.run(
        ["sh", "-c", command], env={"VERSION": __version__, "PATH": "/usr/bin:/bin"}, cwd=REPOSITORY, check=True,
        capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert notes.strip()
    assert "### Added" in notes
    assert "\n## " not in notes
