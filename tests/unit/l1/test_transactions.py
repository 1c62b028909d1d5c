"""Signed transactions, against a known account and the library's own decoding."""

import pytest
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

from sequencer.l1.transactions import address_of, sign_commit, sign_deployment, transaction_hash

SECRET = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
ADDRESS = bytes.fromhex("f39fd6e51aad88f6f4ce6ab8827279cfffb92266")
TERMS = {"chain_id": 31337, "nonce": 7, "gas": 300_000, "max_fee_wei": 30, "priority_fee_wei": 2}


def test_the_address_of_a_secret():
    assert address_of(SECRET) == ADDRESS


@pytest.mark.parametrize("secret", [b"", SECRET[:31], bytes(32), b"\xff" * 32])
def test_what_is_no_secret_is_refused_without_being_told(secret):
    with pytest.raises(ValueError, match="secret") as caught:
        address_of(secret)
    assert not secret or secret.hex() not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_commit_holds_exactly_what_was_handed_in():
    signed = sign_commit(SECRET, to=b"\x11" * 20, data=b"call", **TERMS)
    fields = TypedTransaction.from_bytes(HexBytes(signed.raw)).as_dict()
    assert fields["type"] == 2
    assert (fields["chainId"], fields["nonce"], fields["gas"]) == (31337, 7, 300_000)
    assert (fields["maxFeePerGas"], fields["maxPriorityFeePerGas"], fields["value"]) == (30, 2, 0)
    assert (bytes(fields["to"]), bytes(fields["data"])) == (b"\x11" * 20, b"call")
    assert signed.hash == transaction_hash(signed.raw)
    assert bytes.fromhex(Account.recover_transaction(signed.raw)[2:]) == ADDRESS


def test_a_deployment_has_no_receiver():
    signed = sign_deployment(SECRET, data=b"code", **TERMS)
    fields = TypedTransaction.from_bytes(HexBytes(signed.raw)).as_dict()
    assert (bytes(fields["to"]), bytes(fields["data"])) == (b"", b"code")


def test_the_same_values_give_the_same_bytes():
    signed = [sign_commit(SECRET, to=b"\x11" * 20, data=b"call", **TERMS) for _ in range(2)]
    assert signed[0] == signed[1]
