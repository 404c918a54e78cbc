"""The senders' own libraries, Python's and JavaScript's: they make the proof, or say that it is right."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kit import STAMP, Request

NODE = Path(os.environ.get("SENDERS_NODE", "/tmp/node-senders"))  # noqa: S108 - where the README says to install


def javascript(call: str, request: Request, secret: str, signature: str = "", **more: Any) -> Any:
    """What a JavaScript library says of this request; see libraries.mjs."""
    asked = {"call": call, "secret": secret, "signature": signature, "at": STAMP, "url": request.url, **more}
    asked |= {"body": base64.b64encode(request.body).decode(), "headers": dict(request.headers)}
    script = Path(__file__).with_name("libraries.mjs")
    run = subprocess.run(
        ["node", str(script)], input=json.dumps(asked), capture_output=True, text=True, check=False,
        env={**os.environ, "SENDERS_NODE": str(NODE)},
    )  # fmt: skip
    if run.returncode:
        raise RuntimeError(f"{call}: {run.stderr}")
    return json.loads(run.stdout)


def check(said: object, library: str) -> None:
    """Raises RuntimeError where a library does not believe the proof."""
    if said is not True:
        raise RuntimeError(f"{library} does not believe the proof: {said!r}")


def of(*libraries: str) -> str:
    """Names with their versions: Python's by their name, JavaScript's by their name after npm:."""
    return ", ".join(f"{name.removeprefix('npm:')} {_version(name)}" for name in libraries)


def _version(name: str) -> str:
    if name.startswith("npm:"):
        package = NODE / "node_modules" / name.removeprefix("npm:") / "package.json"
        return str(json.loads(package.read_text("utf-8"))["version"])
    return version(name)
