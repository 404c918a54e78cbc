"""The addresses that a sender sends from, as a condition beside its proof. Pure.

The address of a request is that of its peer, or the one that a trusted proxy names (relay/web/proxies.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from relay.core.faults import Fault, fault
from relay.sources.webhook import Webhook

Network = IPv4Network | IPv6Network
NETWORK = r"[0-9A-Fa-f.:]{2,45}(/[0-9]{1,3})?"
FORWARDED = "x-forwarded-for"


def read_network(text: str) -> Network:
    """Read an address, or a network such as 185.71.76.0/27. Raises ValueError."""
    return ip_network(text)


def is_listed(address: str, networks: Sequence[Network]) -> bool:
    """Whether an address is in one of these networks."""
    found = _read(address)
    return found is not None and any(found in network for network in networks)


def address_near_miss(webhook: Webhook, networks: Sequence[Network]) -> Fault | None:
    """Whether it seems that a proxy hides the sender's address: it names a listed one, or is on a private network."""
    forwarded = (webhook.header(FORWARDED) or "").rpartition(",")[2].strip()
    peer = _read(webhook.remote_address)
    if is_listed(forwarded, networks) or peer is None or peer.is_private:
        return fault("address_behind_proxy")
    return None


def _read(text: str) -> IPv4Address | IPv6Address | None:
    """An address, of IPv4 too where a socket of both kinds wrote it as ::ffff:192.0.2.1; None if it is none."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found
