"""Waiting ends by itself, whatever is waited for."""

import pytest

from consensus.numbers import Hash, Height
from sequencer.client.status import Status, TransactionStatus
from sequencer.node.progress import Progress
from sequencer.node.transaction_views import TransactionViews

TX = Hash(b"t" * 32)


class Attested(TransactionViews):
    """Views in which every transaction is attested at height 1."""

    def __init__(self):
        self._progress = Progress((), Height(1), Height(1), Height(1))

    def status(self, tx_hash):
        return TransactionStatus(tx_hash, Status.ATTESTED, height=Height(1))


@pytest.mark.parametrize("status", [Status.POSTED, Status.SETTLED])
async def test_waiting_for_a_rung_that_cannot_come_ends_with_its_deadline(status, autojump_clock):
    found = await Attested().wait(TX, status, timeout_ms=5_000)
    assert found.status is Status.ATTESTED


async def test_a_rung_that_is_reached_is_told_at_once():
    found = await Attested().wait(TX, Status.FINAL, timeout_ms=5_000)
    assert found.has_reached(Status.FINAL)
