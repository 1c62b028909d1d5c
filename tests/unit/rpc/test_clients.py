"""Which addresses are one client."""

import pytest

from sequencer.rpc.clients import UNKNOWN, client_of, client_of_address


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", UNKNOWN),
        ("a name", UNKNOWN),
    ],
)
def test_a_client_is_an_address_or_its_block(address, client) -> None:
    assert client_of_address(address) == client
    assert client_of({"client": (address, 4711)}) == client


def test_a_connection_without_an_address_is_unknown() -> None:
    assert client_of({}) == client_of({"client": None}) == UNKNOWN
