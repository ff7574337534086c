"""Which addresses are fetched from, as a table."""

from __future__ import annotations

import pytest

from headrace.server import addresses

REFUSED = {
    "127.0.0.1": "loopback",
    "127.255.0.1": "loopback",
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified",
    "10.1.2.3": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "100.64.0.1": "shared (carrier-grade NAT)",
    "100.127.255.255": "shared (carrier-grade NAT)",
    "169.254.169.254": "link-local",
    "192.0.0.8": "reserved",
    "192.0.2.1": "reserved",
    "198.18.0.1": "reserved",
    "198.51.100.7": "reserved",
    "203.0.113.9": "reserved",
    "224.0.0.1": "multicast",
    "239.255.255.255": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
    "::": "unspecified",
    "::1": "loopback",
    "fe80::1%eth0": "link-local",
    "fc00::1": "private",
    "fd12:3456::1": "private",
    "ff02::1": "multicast",
    "::ffff:127.0.0.1": "loopback",
    "::ffff:169.254.169.254": "link-local",
    "::ffff:0a01:0203": "private",
    "::127.0.0.1": "reserved",
    "64:ff9b::7f00:1": "loopback",
    "64:ff9b::a9fe:a9fe": "link-local",
    "64:ff9b:1::1": "reserved",
    "2002:7f00:1::": "loopback",
    "2002:c0a8:101::1": "private",
    "2001::1": "reserved",
    "2001:db8::1": "reserved",
    "3fff::1": "reserved",
    "100::1": "reserved",
    "fec0::1": "reserved",
    "4000::1": "reserved",
}
TAKEN = [
    "1.1.1.1", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "126.255.255.255", "128.0.0.1",
    "169.253.0.1", "172.15.255.255", "172.32.0.1", "192.167.1.1", "192.169.1.1", "223.255.255.255",
    "2606:4700::1111", "2a00:1450:4001:80b::200e", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::1",
]  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_local_and_special_addresses_are_refused_with_the_reason(text: str) -> None:
    assert addresses.refused(addresses.parse(text)) == REFUSED[text]


@pytest.mark.parametrize("text", TAKEN)
def test_public_addresses_are_taken(text: str) -> None:
    assert addresses.refused(addresses.parse(text)) is None
