"""Attacks on the poster: nonces, halting, ranges that can never be packed, and the calldata of logs."""

import os
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from eth_abi.abi import encode

from consensus.numbers import GENESIS_EPOCH, BlockId, Hash, Height, Milliseconds, NamespaceId, NamespaceIndex
from consensus.signing import sha256
from consensus.vocabulary.anchor import NO_ANCHOR
from consensus.vocabulary.block import SectionKind
from consensus.vocabulary.l1_batch import DataKind
from consensus.vocabulary.payload import encode_payload
from consensus.vocabulary.payload_table import (
    PayloadBlock,
    PayloadNamespace,
    PayloadRun,
    PayloadSection,
    PayloadTable,
)
from sequencer.l1.errors import ExecutionReverted, L1Error
from sequencer.l1.inbox import COMMIT_TYPES, COMMITTED_TOPIC, Inbox, _Constants
from sequencer.l1.shapes import L1Log
from sequencer.node.intent_log import IntentLog
from sequencer.settlement import poster
from sequencer.settlement.packing import PackedRange, compress
from sequencer.settlement.poster import Findings, Gate, Standing, fate
from sequencer.settlement.records import Attempt, BatchState
from sequencer.settlement.sharing import ChainEnd, L1DataPolicy, allowed_kinds
from sequencer.telemetry.metrics import Metrics
from storage.database import Database
from tests.committee import Committee

CHAIN = Committee().chain
NOBODY: Any = None  # asked for nothing
OLD_VIEW: Any = SimpleNamespace(finalized_number=0)


def intent_log(client: Any, follower: Any, database: Database) -> IntentLog:
    """With stand-ins for the L1 and the follower."""
    return IntentLog(client, follower, database, Metrics("test"))


def attempt(nonce, index, state):
    raw = bytes([nonce]) * 100
    return Attempt(
        nonce,
        index,
        Height(1),
        Height(2),
        DataKind.HELD,
        Hash(bytes(32)),
        bytes([nonce]) * 32,
        raw,
        Milliseconds(1),
        state,
    )


def test_what_the_l1_refused_twice_is_tried_again_after_a_restart(tmp_path):
    """poster.py, invariant 3: '… halts until the L1's chain of batches moves on or the node is restarted'."""
    with Database.open(tmp_path, CHAIN.chain_id) as database:
        log = intent_log(None, None, database)
        for nonce in (0, 1):
            trio.run(log.save, attempt(nonce, 7, BatchState.REVERTED))
        after_restart = intent_log(None, None, database)
        standing = Standing(0, 100, 0, 0, ChainEnd(7, Height(1), Hash(bytes(32))), has_money=True)
        assert poster.gate(standing, after_restart.attempts, due=True) is Gate.READY


class PoolOf:
    """An L1's account at a nonce, with no receipts; takes what is sent."""

    def __init__(self):
        self.sent = []

    async def receipt(self, transaction):
        await trio.lowlevel.checkpoint()

    async def send_raw(self, raw):
        self.sent.append(raw[0])


@pytest.mark.parametrize("state", [BatchState.LOST_RACE, BatchState.REVERTED])
async def test_a_lost_race_that_a_reorganisation_undid_leaves_no_hole_in_the_nonces(tmp_path, state):
    """Nonce 5 lost its race, mined and reverted; the L1 takes that block back and nobody includes it again."""
    with Database.open(tmp_path, CHAIN.chain_id) as database:
        client = PoolOf()
        follower = SimpleNamespace(batch=lambda _: None, end=ChainEnd(8, Height(1), Hash(bytes(32))))
        log = intent_log(client, follower, database)
        await log.save(attempt(5, 7, state))
        await log.follow(OLD_VIEW, 5)  # the L1 says: the next nonce is 5
        nonce = poster.next_nonce(log.attempts, 5)
        assert nonce == 5 or 5 in client.sent, f"the next has nonce {nonce}; nobody fills 5"


async def test_a_parked_nonce_is_not_given_out_again(tmp_path):
    """A reorganisation between reading the nonce and the receipt parks an attempt that will be mined again."""
    parked = fate(attempt(5, 7, BatchState.SENT), Findings(None, None, 6, False, 7, 0))
    assert parked is BatchState.PARKED
    assert poster.next_nonce([attempt(5, 7, parked)], 5) != 5


async def test_an_endpoint_that_simulates_what_is_sent_does_not_stop_the_poster(tmp_path):
    class Simulating(PoolOf):
        async def send_raw(self, raw):
            await trio.lowlevel.checkpoint()
            raise ExecutionReverted("already committed")

    with Database.open(tmp_path, CHAIN.chain_id) as database:
        follower = SimpleNamespace(batch=lambda _: None, end=ChainEnd(8, Height(1), Hash(bytes(32))))
        log = intent_log(Simulating(), follower, database)
        await log.save(attempt(5, 7, BatchState.SENT))
        await log.follow(OLD_VIEW, 5)


def packed_range(byte_count):
    data = os.urandom(byte_count)
    namespace = PayloadNamespace(
        NamespaceId(1001),
        NamespaceIndex(0),
        (PayloadSection(SectionKind.OPEN, (PayloadRun(byte_count, is_inert=False),)),),
    )
    block = PayloadBlock(Height(1), BlockId(Hash(bytes(32))), Milliseconds(1), NO_ANCHOR, (namespace,))
    table, runs = PayloadTable(Height(1), Height(1), (block,)), {NamespaceId(1001): [data]}
    held = encode_payload(table, runs)
    zeros = Hash(bytes(32))
    return PackedRange(Height(1), BlockId(zeros), zeros, table, runs, len(held), sha256(held), ends_with_data=True)


def test_with_require_every_single_block_can_be_committed_somehow():
    """Incompressible data just below the bound: too long compressed, 'can fit' uncompressed."""
    parameters = replace(CHAIN.parameters, l1_data=L1DataPolicy.REQUIRE)
    bytes_max = parameters.commit_bytes_max
    packed = packed_range(bytes_max - 165)
    assert packed.byte_count <= bytes_max
    payload = compress(packed)
    fits = len(payload) <= bytes_max
    assert allowed_kinds(parameters, packed, has_payload=fits), (packed.byte_count, len(payload))


def test_a_log_with_absurd_lengths_is_an_error_of_the_l1():
    data = bytearray(
        encode(
            COMMIT_TYPES,
            (
                (1, 1, 5, b"\1" * 32, 0, b"\2" * 32, b"\3" * 32, b"\4" * 32, bytes(32), bytes(32), 0),
                b"\xf0",
                b"\5" * 256,
                b"",
            ),
        )
    )
    constants = _Constants(CHAIN.chain_id, GENESIS_EPOCH, 4, bytes(20), 1, 1)
    inbox = Inbox(NOBODY, b"\x1b" * 20)
    for word in range(0, len(data), 32):
        for value in (2**256 - 1, 2**255, 2**63, 2**63 - 1):
            changed = bytes(data[:word]) + value.to_bytes(32, "big") + bytes(data[word + 32 :])
            log = L1Log(inbox.address, (COMMITTED_TOPIC, bytes(32), bytes(32)), changed, bytes(32), 1, bytes(32), 0)
            with pytest.raises(L1Error):
                inbox._read_all([log], constants)
