"""Deficit round-robin by bytes between namespaces (Shreedhar and Varghese, 1996); tiny transactions count for more.

Responsible for: which namespace's transactions fill the next batch.
Refuses to do: reorder within a namespace.

Invariants:
1. A round gives every namespace that waits a quantum. The quanta are parts of one round: equal ones, but never less
   than the share that the genesis grants a namespace; what that takes, it takes from the equal parts. They change only
   between rounds.
2. So of what a round gives, a namespace that waits gets its share and at least an equal part of what the shares leave,
   one of the longest transactions more or less: a flood cannot raise another's waiting time beyond its share.
3. A turn that a full batch cuts short goes on with the next batch, and is not granted twice.
4. A queue that runs empty keeps no claim.
5. A quantum is at least QUANTUM_BYTES_MIN, so that a batch takes few turns however many namespaces wait.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from consensus import limits
from consensus.numbers import NamespaceId
from sequencer.mempool.queues import NamespaceQueue, Run

QUANTUM_BYTES_MIN = 4_096
_WHOLE_PERMILLE = 1_000


@dataclass(frozen=True, slots=True)
class Round:
    """What the turns of one round give together: `byte_count`; `equal_permille` of it in `equal_count` equal parts."""

    byte_count: int
    equal_permille: int
    equal_count: int

    @staticmethod
    def of(shares_permille: Iterable[int], batch_bytes: int) -> "Round":
        """Of namespaces with these shares, 900 together at most: a batch, or more where quanta would be too small."""
        shares = sorted(shares_permille, reverse=True)
        left, count = _WHOLE_PERMILLE, len(shares)
        for share in shares:
            if share * count <= left:
                break
            left -= share
            count -= 1
        return Round(max(batch_bytes, -(-QUANTUM_BYTES_MIN * _WHOLE_PERMILLE * count // left)), left, count)

    def quantum(self, share_permille: int) -> int:
        """Bytes of one turn of a namespace with this share."""
        if share_permille * self.equal_count > self.equal_permille:
            return self.byte_count * share_permille // _WHOLE_PERMILLE
        return self.byte_count * self.equal_permille // (_WHOLE_PERMILLE * self.equal_count)


class FairShare:
    """The queues that wait, in turn."""

    def __init__(self, segment_overhead_bytes: int) -> None:
        """`segment_overhead_bytes`: what each further namespace adds to a batch's header."""
        self._segment_overhead_bytes = segment_overhead_bytes
        self._turns: deque[NamespaceQueue] = deque()
        self._is_granted = False  # whether the first queue's present turn has had its quantum
        self._round = Round.of((0,), 0)
        self._left_in_round = 0  # the first so many turns belong to the round in progress

    def enter(self, queue: NamespaceQueue) -> None:
        """This queue has something; it waits for its turn unless it does already."""
        if not queue.in_turn:
            queue.in_turn = True
            self._turns.append(queue)

    def drain(self, room_bytes: int) -> dict[NamespaceId, list[Run]]:
        """Takes transactions for one batch: segment bytes and header entries together fit in `room_bytes`."""
        taken: dict[NamespaceId, list[Run]] = {}
        batch_bytes = room_bytes
        while self._turns:
            queue = self._turns[0]
            if self._left_in_round == 0:
                self._left_in_round = len(self._turns)
                self._round = Round.of((waiting.terms.share_permille for waiting in self._turns), batch_bytes)
            if not self._is_granted:
                queue.deficit += self._round.quantum(queue.terms.share_permille)
                self._is_granted = True
            room_bytes, is_full = self._serve(queue, room_bytes, taken)
            if is_full:
                break
            self._turns.popleft()
            self._left_in_round -= 1
            self._is_granted = False
            if queue.runs:
                self._turns.append(queue)
            else:
                queue.in_turn, queue.deficit = False, 0
        return taken

    def _serve(self, queue: NamespaceQueue, room_bytes: int, taken: dict[NamespaceId, list[Run]]) -> tuple[int, bool]:
        """Spends the queue's deficit; returns the room left, and whether the batch is full."""
        while queue.runs and (cost := queue.head_cost_bytes()) <= queue.deficit:
            runs = taken.get(queue.namespace)
            overhead_bytes = self._segment_overhead_bytes if runs is None else 0
            if cost + overhead_bytes > room_bytes or (runs is None and len(taken) >= limits.BATCH_SEGMENTS_MAX):
                return room_bytes, True
            if runs is None:
                runs = taken[queue.namespace] = []
            run = queue.take(min(queue.deficit, room_bytes - overhead_bytes))
            runs.append(run)
            queue.deficit -= run.cost_bytes
            room_bytes -= overhead_bytes + run.cost_bytes
        return room_bytes, False
