"""The log of own attempts to commit: written before anything is sent, followed until each one's fate is settled.

Responsible for: loading and saving attempts, sending open ones again, and finding out what became of them.
Refuses to do: make attempts (`poster_driver.py`), or judge what was found (`sequencer/settlement/poster.py: fate`).

Invariants:
1. A new attempt and a settled fate are synced before anything else happens.
2. Open attempts are sent again in the order of their nonces, once per look: the bytes that are on disk, never others.
"""

import structlog
import trio

from consensus.encoding import decode_whole
from sequencer.l1.errors import ExecutionReverted, L1Refused
from sequencer.l1.json_rpc import L1Client
from sequencer.node.l1_follower import L1Follower, L1View
from sequencer.settlement.poster import Findings, fate
from sequencer.settlement.records import Attempt, BatchRecord, BatchState
from sequencer.telemetry import table
from sequencer.telemetry.metrics import Metrics
from storage.database import Database
from storage.settlement import SettlementStore

ATTEMPTS_KEPT_MAX = 256  # in memory; the log on disk keeps all

_SENDABLE = frozenset({BatchState.INTENT, BatchState.SENT})
_log = structlog.get_logger("settlement")


class IntentLog:
    """One poster's attempts."""

    def __init__(self, client: L1Client, follower: L1Follower, database: Database, metrics: Metrics) -> None:
        self._client = client
        self._follower = follower
        self._database = database
        self._metrics = metrics
        stored = SettlementStore(database).list_attempts(ATTEMPTS_KEPT_MAX)
        loaded = [decode_whole(entry.record, Attempt.decode) for entry in reversed(stored)]
        # What was refused before a start is tried again after it: the operator has looked.
        self._attempts = {
            attempt.nonce: attempt.become(BatchState.PARKED) if attempt.state is BatchState.REVERTED else attempt
            for attempt in loaded
        }

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The newest attempts, by nonce."""
        return tuple(self._attempts[nonce] for nonce in sorted(self._attempts))

    async def save(self, attempt: Attempt) -> None:
        """Keeps a new attempt, or one's new fate, synced. Raises `StorageFault`."""
        puts = SettlementStore.attempt_puts(attempt.nonce, attempt.encode())
        await trio.to_thread.run_sync(lambda: self._database.write(puts, sync=True))
        self._attempts[attempt.nonce] = attempt
        for nonce in sorted(self._attempts)[:-ATTEMPTS_KEPT_MAX]:
            if not self._attempts[nonce].is_open:
                del self._attempts[nonce]

    async def follow(self, view: L1View, l1_nonce: int) -> None:
        """Looks after every open attempt. `l1_nonce` was read before. Raises `L1Error`."""
        for attempt in self.attempts:
            if attempt.is_open or (attempt.state is BatchState.PARKED and self._record_of(attempt) is not None):
                await self._follow_one(attempt, view, l1_nonce)
            elif attempt.nonce >= l1_nonce and attempt.state is not BatchState.FINALIZED:
                # The L1 took its block back: its nonce has to be used by somebody, or nothing after it is ever mined.
                await self._follow_one(attempt.become(BatchState.SENT), view, l1_nonce)

    async def send(self, attempt: Attempt) -> None:
        """Sends an open attempt, again or for the first time. Raises `L1Unreachable`."""
        try:
            await self._client.send_raw(attempt.raw)
        except (L1Refused, ExecutionReverted) as error:
            _log.info("l1_refused_transaction", index=attempt.index, nonce=attempt.nonce, detail=str(error))
            return
        if attempt.state is BatchState.INTENT:
            await self.save(attempt.become(BatchState.SENT))

    def _record_of(self, attempt: Attempt) -> BatchRecord | None:
        """The batch on the L1, if it is this attempt that brought it there."""
        record = self._follower.batch(attempt.index)
        return record if record is not None and record.transaction == attempt.transaction else None

    async def _follow_one(self, attempt: Attempt, view: L1View, l1_nonce: int) -> None:
        record = self._record_of(attempt)
        is_known = record is not None and attempt.state is BatchState.CONFIRMED
        receipt = None if is_known else await self._client.receipt(attempt.transaction)
        if receipt is not None and receipt.block_number > view.latest.number:
            return  # our look is older
        mined_at = receipt.block_number if receipt is not None else None
        found = Findings(
            succeeded=receipt.status == 1 if receipt is not None else None,
            block_number=record.block_number if record is not None else mined_at,
            l1_nonce=l1_nonce,
            has_event=record is not None,
            next_index=self._follower.end.next_index,
            finalized_number=view.finalized_number,
        )
        state = fate(attempt, found)
        if state is not attempt.state:
            attempt = attempt.become(state)
            await self.save(attempt)
            gas = receipt.gas_used if receipt is not None else None
            _log.info("batch_attempt", index=attempt.index, nonce=attempt.nonce, state=state, gas=gas)
            if not attempt.is_open:
                self._metrics.add(table.SETTLEMENT_ATTEMPTS, 1, state)
        if attempt.state in _SENDABLE:
            await self.send(attempt)
