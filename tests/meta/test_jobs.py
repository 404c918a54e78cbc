"""The web process enqueues work that it cannot import: here both sides are loaded, and the names must meet."""

import inspect
from importlib import import_module

import pytest

from relay.queueing import JOB_NAMES


@pytest.mark.parametrize("name", JOB_NAMES)
def test_every_job_name_leads_to_a_function_of_the_workers_that_takes_a_delivery_and_its_turn(name: str) -> None:
    module, _, function = name.rpartition(".")
    job = getattr(import_module(module), function)
    assert module.startswith("workers.")
    inspect.signature(job).bind("dlv_1", 1)
