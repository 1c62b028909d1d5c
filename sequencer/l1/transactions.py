"""Transactions for the L1: type 2 (EIP-1559), signed with a poster's key.

Responsible for: building and signing exactly the transaction whose values are handed in, and naming it by its hash.
Refuses to do: choose a nonce, a fee or a gas limit, keep keys, or send.

Invariants:
1. The hash is of the raw bytes, so what is stored before it is sent can be found again afterwards.
2. A secret appears in no error and no representation.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from eth_utils.crypto import keccak

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount
    from eth_account.types import TransactionDictType

SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """A transaction ready to be sent."""

    raw: bytes
    hash: bytes  # 32 bytes


def transaction_hash(raw: bytes) -> bytes:
    """Keccak-256 of a raw transaction: its name on the L1."""
    return keccak(raw)


def address_of(secret: bytes) -> bytes:
    """The 20-byte account address of a secp256k1 secret of 32 bytes. Raises `ValueError` for no such secret."""
    return bytes.fromhex(_account(secret).address[2:])


def sign_commit(
    secret: bytes,
    *,
    chain_id: int,
    nonce: int,
    to: bytes,
    data: bytes,
    gas: int,
    max_fee_wei: int,
    priority_fee_wei: int,
) -> SignedTransaction:
    """A call of the contract `to` with `data`. `gas` is its limit, the fees are per unit of gas."""
    return _sign(secret, chain_id, nonce, to, data, (gas, max_fee_wei, priority_fee_wei))


def sign_deployment(
    secret: bytes, *, chain_id: int, nonce: int, data: bytes, gas: int, max_fee_wei: int, priority_fee_wei: int
) -> SignedTransaction:
    """A transaction that makes a contract of `data`: its creation code and arguments."""
    return _sign(secret, chain_id, nonce, None, data, (gas, max_fee_wei, priority_fee_wei))


def _sign(
    secret: bytes, chain_id: int, nonce: int, to: bytes | None, data: bytes, limits: tuple[int, int, int]
) -> SignedTransaction:
    gas, max_fee_wei, priority_fee_wei = limits
    fields: TransactionDictType = {
        "type": 2,
        "chainId": chain_id,
        "nonce": nonce,
        "value": 0,
        "data": data,
        "gas": gas,
        "maxFeePerGas": max_fee_wei,
        "maxPriorityFeePerGas": priority_fee_wei,
    }
    if to is not None:
        fields["to"] = to
    signed = _account(secret).sign_transaction(fields)
    return SignedTransaction(bytes(signed.raw_transaction), bytes(signed.hash))


def _account(secret: bytes) -> "LocalAccount":
    from eth_account import Account  # noqa: PLC0415 (half a second, and only posters sign)

    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a poster's secret has {SECRET_BYTES} bytes")
    try:
        account: LocalAccount = Account.from_key(secret)
    except ValueError:  # the library's error may hold the secret
        raise ValueError("a poster's secret is in 1 … n−1") from None
    return account
