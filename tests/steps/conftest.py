"""One world for a file of this folder: servers, warm processes and taps, as new for each run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.steps.beginnings import config_for_steps
from tests.steps.world import World
from tests.support.folders import SECRETS, WEB_SECRETS


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (SECRETS | WEB_SECRETS).items():
            patch.setitem(os.environ, name, value)
        folder: Path = tmp_path_factory.mktemp("steps")
        with World(config_for_steps(folder), SECRETS | WEB_SECRETS, processes=2) as world:
            yield world
