"""The web process enqueues work that it cannot import: here both sides are loaded, and the names must meet."""

import inspect
from importlib import import_module

import pytest

from relay.queueing import JOB_NAMES


@pytest.mark.parametrize("name", JOB_NAMES)
def test_every_job_name_leads_to_a_function_of_the_workers_that_takes_ids_and_numbers_only(name: str) -> None:
    module, _, function = name.rpartition(".")
    assert module.startswith("workers.")
    job = getattr(import_module(module), function)
    parameters = inspect.signature(job, eval_str=True).parameters.values()
    assert parameters
    assert {parameter.annotation for parameter in parameters} <= {str, int}
