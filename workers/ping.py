"""`python -m workers ping`: asks a portal whether deliveries to it can succeed. Starts nothing, changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workers.bitrix24.answers import Answer
from workers.bitrix24.client import Client
from workers.bitrix24.errors import judge
from workers.portals import Address

SCOPE = "bizproc"


def ping(address: Address) -> int:
    """Print what was found, a line each. The exit status: 0 where a start can succeed, else 1."""
    client = Client(address.base_url, address.app.first.access if address.app else None)
    try:
        return _ping(client, address)
    finally:
        client.close()


def _ping(client: Client, address: Address) -> int:
    name = address.portal.name
    scope = client.call("scope", {})
    if not isinstance(scope.result, list):
        print(f"{name}: {_trouble(scope)}")
        return 1
    print(f"{name}: the credential is accepted by {address.host}")
    if SCOPE not in scope.result:
        print(f"{name}: the credential lacks the scope {SCOPE}: add it on the portal")
        return 1
    templates = client.call("bizproc.workflow.template.list", {"SELECT": ["ID", "NAME", "DOCUMENT_TYPE"]})
    if not isinstance(templates.result, list):
        print(f"{name}: {_trouble(templates)}")
        return 1
    for template in templates.result:
        print(f"{name}: template {_described(template)}")
    return 0


def _described(template: Mapping[str, Any]) -> str:
    kind = template.get("DOCUMENT_TYPE") or ["?"]
    return f"{template.get('ID')} for {kind[-1]}: {template.get('NAME')}"


def _trouble(answer: Answer) -> str:
    return f"{judge(answer).advice} [status {answer.status}, code {answer.code!r}]"
