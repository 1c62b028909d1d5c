"""Attacks on the poster, second reading: one wrong nonce, receipts that come late, and ranges of very many runs."""

from types import SimpleNamespace
from typing import Any

import trio

from consensus import limits
from consensus.numbers import Hash, Height
from sequencer.node.intent_log import IntentLog
from sequencer.node.range_reader import RangeReader
from sequencer.settlement import poster
from sequencer.settlement.packing import HELD_BYTES_TARGET
from sequencer.settlement.records import BatchState
from sequencer.settlement.sharing import ChainEnd
from sequencer.telemetry.metrics import Metrics
from storage.blocks import BlockStore
from storage.chain import ChainStore
from storage.database import Database
from tests.committee import Committee
from tests.stored_chain import stored_chain
from tests.unit.settlement.attempts import attempt

CHAIN = Committee().chain
VIEW: Any = SimpleNamespace(finalized_number=0, latest=SimpleNamespace(number=20))


def test_one_wrong_nonce_of_an_endpoint_is_not_for_ever():
    """The endpoint said 9 once; the account is at 5. Nothing signed from 10 on is ever mined: 5 to 8 are nobody's."""
    assert poster.next_nonce([attempt(BatchState.SENT, nonce=9)], 5) == 5


class Lagging:
    """Its receipts come a look later than its nonces."""

    def __init__(self):
        self.receipts = {}

    async def receipt(self, transaction):
        await trio.lowlevel.checkpoint()
        return self.receipts.get(transaction)

    async def send_raw(self, raw):
        await trio.lowlevel.checkpoint()


async def test_an_attempt_whose_batch_stands_in_the_log_is_not_parked(tmp_path):
    """The nonce is used up and no receipt yet (two backends, or receipts pruned): the log has our transaction."""
    sent = attempt(BatchState.SENT, nonce=5, index=7)
    records: dict[int, Any] = {}
    follower: Any = SimpleNamespace(batch=records.get, end=ChainEnd(7, Height(1), Hash(bytes(32))))
    client: Any = Lagging()
    with Database.open(tmp_path, CHAIN.chain_id) as database:
        log = IntentLog(client, follower, database, Metrics("test"))
        await log.save(sent)
        await log.follow(VIEW, 6)
        client.receipts[sent.transaction] = SimpleNamespace(block_number=20, status=1, gas_used=1)
        records[7] = SimpleNamespace(transaction=sent.transaction, block_number=20)
        follower.end = ChainEnd(8, Height(1), Hash(bytes(32)))
        await log.follow(VIEW, 6)
        assert [found.state for found in log.attempts] == [BatchState.CONFIRMED]


def test_a_backlog_of_very_many_runs_is_divided(tmp_path, monkeypatch):
    """`choose_last` counts bytes only; the table is refused above PAYLOAD_RUNS_MAX, at every look anew."""
    monkeypatch.setattr(limits, "PAYLOAD_RUNS_MAX", 4)
    committee = Committee()
    with stored_chain(committee, tmp_path) as stored:
        for height in range(1, 8):
            stored.execute(10 * height, stored.run.data(height % 4, b"x"))
        reader = RangeReader(committee.chain, ChainStore(stored.database), BlockStore(stored.database), stored.source)
        last = reader.choose_last(Height(1), Height(7), HELD_BYTES_TARGET)
        assert last is not None
        reader.pack(Height(1), last)  # must not raise
