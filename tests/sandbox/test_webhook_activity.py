"""The activity "Webhook": a template calls the address that it was given once, with its document, and has ended."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs

import pytest

from tests.support.waiting import until

LEAD = ["crm", "CCrmDocumentLead", "LEAD"]
TEMPLATE = {"id": 1, "document_type": LEAD, "webhook_parameter": "Back", "after_s": 0.05, "query": "s=ok"}


@pytest.fixture
def called():
    """What comes to an address, and the address."""
    calls = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            calls.append((self.path, parse_qs(body)))
            self.send_response(500)
            self.end_headers()

        def log_message(self, *_):
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield calls, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def ended(portal):
    return [workflow for workflow in portal.started() if workflow["state"] == "completed"]


@pytest.mark.parametrize(("path", "wanted"), [("/done/x", "/done/x?s=ok"), ("/done/x?a=1", "/done/x?a=1&s=ok")])
def test_the_address_is_called_once_with_the_document_whatever_it_answers(client, portal, called, path, wanted):
    calls, url = called
    portal.add_templates(TEMPLATE)

    client.start(Back=url + path)

    until(lambda: calls, "the call")
    document = {f"document_id[{index}]": [part] for index, part in enumerate(["crm", "CCrmDocumentLead", "LEAD_7"])}
    assert calls == [(wanted, document)]
    assert len(ended(portal)) == 1


@pytest.mark.parametrize("address", ["", "http://localhost:1/", "ftp://127.0.0.1/", "nonsense", "http://127.0.0.1:1/"])
def test_an_address_that_cannot_be_called_ends_the_workflow_all_the_same(client, portal, address):
    portal.add_templates(TEMPLATE)

    client.start(Back=address)

    until(lambda: ended(portal), "the end")


def test_a_template_without_it_calls_nobody(client, portal, called):
    calls, url = called

    client.start(Back=url)

    assert ended(portal) == []
    assert calls == []
