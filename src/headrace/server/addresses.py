"""Which network addresses a server may fetch from: public ones only, however they are written."""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_REFUSED_V4 = [
    (ipaddress.IPv4Network(network), why)
    for network, why in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared (carrier-grade NAT)"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "reserved"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "reserved"),
        ("198.51.100.0/24", "reserved"),
        ("203.0.113.0/24", "reserved"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
]
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")  # the only part of IPv6 that is routed to the public
_REFUSED_V6 = [
    (ipaddress.IPv6Network(network), why)
    for network, why in (
        ("2001::/23", "reserved"),  # Teredo and other tunnels that carry another address inside
        ("2001:db8::/32", "reserved"),
        ("3fff::/20", "reserved"),
    )
]
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL_V6 = [
    (ipaddress.IPv6Network("::/128"), "unspecified"),
    (ipaddress.IPv6Network("::1/128"), "loopback"),
    (ipaddress.IPv6Network("fc00::/7"), "private"),
    (ipaddress.IPv6Network("fe80::/10"), "link-local"),
    (ipaddress.IPv6Network("ff00::/8"), "multicast"),
]


def parse(text: str) -> Address:
    """Read an address as the resolver gives it, without its zone (`fe80::1%eth0`)."""
    return ipaddress.ip_address(text.partition("%")[0])


def refused(address: Address) -> str | None:
    """Return why an address is not fetched from ("private", "loopback", ...), or None for a public one.

    An IPv6 address with an IPv4 one inside (mapped, 6to4, NAT64) is judged by that one.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return next((why for network, why in _REFUSED_V4 if address in network), None)
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address in _NAT64:
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if inner is not None:
        return refused(inner)
    for network, why in (*_LOCAL_V6, *_REFUSED_V6):
        if address in network:
            return why
    return None if address in _GLOBAL_V6 else "reserved"
