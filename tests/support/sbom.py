"""The list of every package that the product runs on (SBOM, CycloneDX), made from requirements.txt alone.

`make sbom` writes it to var/relay.cdx.json; a release has it attached.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from relay import __version__
from tests.support.folders import REPOSITORY

FILE = REPOSITORY / "var" / "relay.cdx.json"
PROJECT = '[project]\nname = "relay"\nversion = "{version}"\n'


def write(file: Path) -> None:
    """Write the list: the same text for the same lock, whenever and wherever it is made."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "pyproject.toml"  # the relay has none, and the list is to say what it is of
        project.write_text(PROJECT.format(version=__version__), "utf-8")
        file.parent.mkdir(exist_ok=True)
        command: list[str | Path] = [sys.executable, "-m", "cyclonedx_py", "requirements", "--pyproject", project]
        command += ["--mc-type", "application", "--output-reproducible", "--output-format", "JSON"]
        subprocess.run([*command, "--output-file", file, REPOSITORY / "requirements.txt"], check=True)


if __name__ == "__main__":
    write(FILE)
