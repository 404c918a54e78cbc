"""Every benchmark, one after the other: `make bench`. Each is a script of its own that prints a table."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SCRIPTS = ("latency.py", "reading.py")


def main() -> int:
    """0 where every one of them came to its end. Arguments name the scripts to run; absent, all."""
    wanted = [f"{Path(name).stem}.py" for name in sys.argv[1:]] or SCRIPTS
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    statuses = [
        subprocess.run([sys.executable, HERE / name], cwd=ROOT, env=environment, check=False).returncode
        for name in wanted
    ]
    return 1 if any(statuses) else 0


if __name__ == "__main__":
    sys.exit(main())
