"""A relay whose portal has an application, and a browser inside that portal."""

from __future__ import annotations

import pytest

from relay.store import Store
from tests.support.frames import PUBLIC_KEY, with_application

WATCHED = """
name: order
source: website
title: "Order {number} for {buyer}"
when: body.form == 'order'
extract:
  id: {from: body.id, type: integer, required: true}
  number: {from: body.number, type: integer}
  buyer: {from: body.buyer, personal: true}
start:
  portal: main
  template_id: 2
  document_id: {deal: "{id}"}
  parameters: {Note: "{buyer}"}
  watch: {callback: RelayCallback, within: 1h}
"""


@pytest.fixture(scope="session")
def inside_app(make_app, config, shared_valkey, tmp_path_factory):
    """One application for the whole run, as `shared_app`."""
    folder = with_application(config, tmp_path_factory.mktemp("inside"))
    (folder / "rules" / "order.yaml").write_text(WATCHED, "utf-8")
    shared_valkey.make_fresh()
    return make_app(shared_valkey, config=folder, seal_public_key=PUBLIC_KEY, public_url="https://relay.example")


@pytest.fixture
def frame(inside_app, valkey):
    """A browser in a frame of the portal; it has no cookie."""
    return inside_app.test_client(use_cookies=False)


@pytest.fixture
def store(record):
    """The record, as a worker has it."""
    return Store(record.redis)


@pytest.fixture
def applications(store):
    return store.applications
