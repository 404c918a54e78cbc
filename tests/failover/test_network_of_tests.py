"""The network that tests put between processes: it ends with every connection, or a later test would be blamed."""

from __future__ import annotations

import contextlib
import gc
import socket
import threading

import pytest

from tests.support.network import Network
from tests.support.processes import free_port

MANY = 100


@pytest.fixture
def far():
    """The port of somebody who takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=MANY) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_network_that_ends_while_connections_begin_leaves_none_open(far, is_cut):
    """One that stays open is a ResourceWarning, which ends whatever test runs when it is collected."""
    port, opened = free_port(), []

    def connect():
        with contextlib.suppress(OSError):
            for _ in range(MANY):
                opened.append(socket.create_connection(("127.0.0.1", port), timeout=5))  # noqa: PERF401 - until an error

    with contextlib.ExitStack() as stack:
        connecting = threading.Thread(target=connect)
        with Network() as network:
            network.forward(port, far)
            if is_cut:
                network.cut(port, "127.0.0.1")
            connecting.start()
            while not opened and connecting.is_alive():
                connecting.join(0.001)
        connecting.join()
        for one in opened:
            stack.enter_context(one)
        gc.collect()
