"""Who a client is: the unit that a quota counts.

Responsible for: a name for the address at the other end of a connection.
Refuses to do: believe a header. Behind a proxy all clients are the proxy, and only its own limits tell them apart.

Invariants:
1. A client is an IPv4 address, or the /64 of an IPv6 address: whoever has one address of it has all of them.
2. An IPv4 address that arrives mapped into IPv6 is the same client as itself.
"""

import ipaddress
from collections.abc import Mapping
from typing import Any

UNKNOWN = "unknown"  # gone already, or no address: all of these share one quota
_CLIENT_PREFIX_BITS = 64


def client_of(scope: Mapping[str, Any]) -> str:
    """The client of an ASGI scope."""
    peer = scope.get("client")
    return client_of_address(peer[0]) if peer else UNKNOWN


def client_of_address(text: str) -> str:
    """The client with that address; `UNKNOWN` for what is no address."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return UNKNOWN
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), _CLIENT_PREFIX_BITS), strict=False))
