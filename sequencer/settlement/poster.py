"""The poster's rules: when a validator commits a batch, with its data where, and what became of its transactions.

Responsible for: decisions, as pure functions of what is known.
Refuses to do: I/O of any kind; the driver (`sequencer/node/poster_driver.py`) asks, saves and sends.

Invariants:
1. One batch is in flight: nothing new is signed while an own open attempt is for the index that the L1 waits for.
2. A nonce is used once: the next is the lowest that is not logged and that the L1 has not seen used. So a hole, which a
   wrong answer of the L1 may have left, is filled before anything else.
3. A transaction that the contract refused, though nobody else committed its index, is tried once more; then the poster
   halts until the L1's chain of batches moves on or the node is restarted.
4. Exactly-once comes from the contract; these rules only save money.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum, unique

from consensus.numbers import Height, Milliseconds
from sequencer.settlement.records import Attempt, BatchState
from sequencer.settlement.sharing import ChainEnd, L1DataPolicy
from sequencer.settlement.turn import may_commit

REVERTS_MAX = 2
GAS_ESTIMATE_MIN = (
    100_000  # a commit takes more than twice as much: a lower estimate is of a node that lacks the contract
)
OUTRUN = frozenset({"already committed", "gap", "wrong previous", "wrong first height"})  # another batch was faster
PRIORITY_FEE_WEI = 1_000_000_000
GAS_MARGIN_PERCENT = 25
GAS_LIMIT_MAX = 16_777_216  # EIP-7825: no transaction may have more


@unique
class Gate(StrEnum):
    """Whether a batch may be started now, and if not, why. Also words of logs and metrics."""

    READY = "ready"
    NOTHING_DUE = "nothing_due"
    IN_FLIGHT = "in_flight"
    NOT_MY_TURN = "not_my_turn"
    NO_MONEY = "no_money"
    HALTED = "halted"


@dataclass(frozen=True, slots=True)
class Backlog:
    """Executed blocks with data that no batch on the L1 holds."""

    first: Height | None  # the lowest of them
    oldest_ms: Milliseconds  # its block time
    byte_count: int  # of all of them
    attested: Height  # up to here the data is held by a quorum

    def age_ms(self, now_ms: Milliseconds) -> int:
        """How long the oldest of them waits; 0 if there is none."""
        return max(0, now_ms - self.oldest_ms) if self.first is not None else 0


@dataclass(frozen=True, slots=True)
class Sealing:
    """When a batch is due."""

    age_ms: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What a gate is judged by."""

    rank: int
    l1_block: int
    last_commit_block: int
    due_block: int
    end: ChainEnd
    has_money: bool
    l1_nonce: int | None = None  # None: not asked


def is_due(backlog: Backlog, sealing: Sealing, now_ms: Milliseconds) -> bool:
    """Whether there is enough, or it is old enough, and the oldest of it is attested."""
    if backlog.first is None or backlog.first > backlog.attested:
        return False
    return backlog.age_ms(now_ms) >= sealing.age_ms or backlog.byte_count >= sealing.bytes


def gate(standing: Standing, attempts: Sequence[Attempt], *, due: bool) -> Gate:
    """Whether to start on the batch that the L1 waits for."""
    own = [attempt for attempt in attempts if attempt.index == standing.end.next_index]
    if sum(attempt.state is BatchState.REVERTED for attempt in own) >= REVERTS_MAX:
        return Gate.HALTED
    if any(attempt.is_open and not _is_above_hole(attempt, attempts, standing.l1_nonce) for attempt in own):
        return Gate.IN_FLIGHT
    if not due:
        return Gate.NOTHING_DUE
    if not may_commit(standing.rank, standing.l1_block, standing.last_commit_block, standing.due_block):
        return Gate.NOT_MY_TURN
    return Gate.READY if standing.has_money else Gate.NO_MONEY


def _is_above_hole(attempt: Attempt, attempts: Sequence[Attempt], l1_nonce: int | None) -> bool:
    """Whether a lower nonce is used by nobody, so that no block can take this attempt."""
    return l1_nonce is not None and next_nonce(attempts, l1_nonce) < attempt.nonce


def wants_calldata(policy: L1DataPolicy, age_ms: int, backlog_ms: int) -> bool:
    """Whether a batch's data goes onto the L1, if it fits."""
    if policy is L1DataPolicy.PREFER:
        return age_ms < backlog_ms
    return policy is L1DataPolicy.REQUIRE


def next_nonce(attempts: Sequence[Attempt], l1_next: int) -> int:
    """The nonce of the next transaction; `l1_next`: how many of ours are in blocks (`latest`, never `pending`)."""
    logged = {attempt.nonce for attempt in attempts}
    nonce = l1_next
    while nonce in logged:
        nonce += 1
    return nonce


def fee_limit_wei(base_fee_wei: int) -> int:
    """The most to pay per gas: twice the base fee and the priority fee."""
    return 2 * base_fee_wei + PRIORITY_FEE_WEI


def gas_limit(estimate: int) -> int:
    """The limit for a transaction that an L1 node estimated at `estimate`."""
    return min(GAS_LIMIT_MAX, estimate + estimate * GAS_MARGIN_PERCENT // 100)


@dataclass(frozen=True, slots=True)
class Findings:
    """What the L1 says of one attempt. `succeeded` is None while no block holds the transaction.

    `l1_nonce` was read before the receipt: a nonce that is used up by then, without a receipt, was used by another one.
    """

    succeeded: bool | None
    block_number: int | None
    l1_nonce: int
    has_event: bool  # the batch stands in the L1's log under our transaction
    next_index: int
    finalized_number: int


def fate(attempt: Attempt, found: Findings) -> BatchState:
    """What became of an attempt. The log has the last word: a receipt may come late, or be gone."""
    is_final = found.block_number is not None and found.block_number <= found.finalized_number
    if found.has_event:
        return BatchState.FINALIZED if is_final else BatchState.CONFIRMED
    if found.succeeded is None:
        if attempt.state in (BatchState.MINED, BatchState.CONFIRMED):
            return BatchState.SENT  # the L1 took its block back
        return BatchState.PARKED if found.l1_nonce > attempt.nonce else attempt.state
    if not found.succeeded:
        return BatchState.LOST_RACE if found.next_index > attempt.index else BatchState.REVERTED
    return BatchState.MINED
