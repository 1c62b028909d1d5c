"""Deficit round-robin by bytes between namespaces (Shreedhar and Varghese, 1996).

Responsible for: which namespace's transactions fill the next batch.
Refuses to do: reorder within a namespace.

Invariants:
1. While two namespaces both wait, what they were given differs by at most a quantum and two of the longest
   transactions: a flood cannot raise another's waiting time beyond its share. (The quantum changes only between
   rounds.)
2. A turn that a full batch cuts short goes on with the next batch, and is not granted twice.
3. A queue that runs empty keeps no claim.
"""

from collections import deque

from consensus import limits
from consensus.numbers import NamespaceId
from sequencer.mempool.queues import NamespaceQueue, Run

QUANTUM_BYTES_MIN = 4_096  # bounds the turns per batch when hundreds of namespaces wait


class FairShare:
    """The queues that wait, in turn."""

    def __init__(self, segment_overhead_bytes: int) -> None:
        """`segment_overhead_bytes`: what each further namespace adds to a batch's header."""
        self._segment_overhead_bytes = segment_overhead_bytes
        self._turns: deque[NamespaceQueue] = deque()
        self._is_granted = False  # whether the first queue's present turn has had its quantum
        self._quantum = QUANTUM_BYTES_MIN
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
                self._quantum = max(QUANTUM_BYTES_MIN, batch_bytes // len(self._turns))
            if not self._is_granted:
                queue.deficit += self._quantum
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
        while queue.runs and (size := queue.head_size()) <= queue.deficit:
            runs = taken.get(queue.namespace)
            overhead_bytes = self._segment_overhead_bytes if runs is None else 0
            if size + overhead_bytes > room_bytes or (runs is None and len(taken) >= limits.BATCH_SEGMENTS_MAX):
                return room_bytes, True
            if runs is None:
                runs = taken[queue.namespace] = []
            run = queue.take(min(queue.deficit, room_bytes - overhead_bytes))
            runs.append(run)
            queue.deficit -= run.byte_count
            room_bytes -= overhead_bytes + run.byte_count
        return room_bytes, False
