"""Puts a chain's Inbox on its L1: one transaction, paid by the account that is handed in.

Responsible for: its gas and fee, sending it, waiting until it is mined, and checking what stands there then.
Refuses to do: keep keys or addresses, find out whether there is an Inbox already, or fund anybody.

Invariants:
1. Nothing is sent that the account cannot pay for, or to an L1 that is not the genesis's.
2. What is returned is an Inbox that has been checked: this chain's, with exactly its keys and stakes.
"""

from dataclasses import dataclass
from typing import Final

import trio

from consensus.genesis import Genesis
from sequencer.l1.errors import DeploymentFailed
from sequencer.l1.inbox import Inbox, deploy_data
from sequencer.l1.json_rpc import L1Client
from sequencer.l1.shapes import L1Receipt, as_number, to_hex
from sequencer.l1.transactions import address_of, sign_deployment

PRIORITY_FEE_WEI: Final = 10**9
MINED_DEADLINE_S: Final = 600.0
GAS_MAX: Final = 16_777_216  # of one transaction, since EIP-7825
_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Deployment:
    """An Inbox that stands."""

    inbox: bytes  # 20 bytes
    transaction: bytes  # 32 bytes, its hash
    block_number: int
    gas_used: int
    cost_wei: int


async def deploy_inbox(client: L1Client, chain: Genesis, secret: bytes) -> Deployment:
    """Deploys the chain's Inbox from the account of `secret`. Raises `L1Error`, as `DeploymentFailed` with a remedy."""
    l1_chain_id = await client.chain_id()
    if l1_chain_id != chain.l1_chain_id:
        raise DeploymentFailed(f"this is L1 {l1_chain_id}, and the genesis names {chain.l1_chain_id}: name another L1")
    sender, data = address_of(secret), deploy_data(chain)
    head = await client.block("latest")
    if head is None:
        raise DeploymentFailed("the L1 has no block yet: try again later")
    max_fee_wei = 2 * head.base_fee_wei + PRIORITY_FEE_WEI
    call = {"from": to_hex(sender), "data": to_hex(data)}
    gas = as_number(await client.raw("eth_estimateGas", [call]), "gas") * 11 // 10
    if gas > GAS_MAX:
        raise DeploymentFailed(f"it takes {gas} gas, and a transaction has at most {GAS_MAX}: use fewer validators")
    balance_wei = await client.balance(sender)
    if balance_wei < gas * max_fee_wei:
        raise DeploymentFailed(
            f"the account {to_hex(sender)} has {balance_wei} wei, and deploying takes up to {gas * max_fee_wei}: "
            "fund it"
        )
    signed = sign_deployment(
        secret,
        chain_id=l1_chain_id,
        nonce=await client.nonce(sender),
        data=data,
        gas=gas,
        max_fee_wei=max_fee_wei,
        priority_fee_wei=PRIORITY_FEE_WEI,
    )
    receipt = await _until_mined(client, await client.send_raw(signed.raw))
    if receipt.status != 1 or receipt.created is None:
        raise DeploymentFailed(f"the transaction {to_hex(signed.hash)} was reverted")
    await Inbox(client, receipt.created).require_chain(chain)
    cost_wei = receipt.gas_used * receipt.gas_price_wei
    return Deployment(receipt.created, signed.hash, receipt.block_number, receipt.gas_used, cost_wei)


async def _until_mined(client: L1Client, transaction: bytes) -> L1Receipt:
    with trio.move_on_after(MINED_DEADLINE_S):
        while True:
            receipt = await client.receipt(transaction)
            if receipt is not None:
                return receipt
            await trio.sleep(_POLL_S)
    raise DeploymentFailed(
        f"the transaction {to_hex(transaction)} is not mined after {MINED_DEADLINE_S:g} s: look for it before you "
        "deploy again"
    )
