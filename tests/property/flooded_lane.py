"""One validator's mempool and lane on virtual time: clients that hand in, a disk and links that take their time.

Responsible for: how long the transactions of each namespace wait until their batch is synced and until it is committed.
Nothing here reads a clock: the same script gives the same times.
"""

import heapq
import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from consensus.clock import Now
from consensus.genesis import Genesis
from consensus.numbers import Digest, Epoch, Milliseconds, Seq, ValidatorIndex
from consensus.vocabulary.batch import Items
from sequencer.mempool.bounds import MempoolBounds
from sequencer.mempool.draft import Draft
from sequencer.mempool.mempool import Mempool
from sequencer.mempool.seal import OwnLane

WALL_MS = 1_700_000_000_000
ZEROS = Digest(bytes(32))


@dataclass(frozen=True)
class Pace:
    """What a batch costs, one after another: so long to sync, and so long until validators have it and commit it."""

    sync_ms: float = 3.0
    sync_bytes_per_ms: float = 200_000.0
    order_bytes_per_ms: float = 20_000.0  # 20 MB/s: what the network takes of this lane
    commit_ms: float = 30.0


@dataclass(frozen=True)
class Load:
    """A namespace's clients: a request of `items` transactions of `size` bytes every `every_ms`."""

    namespace: int
    every_ms: float
    items: int
    size: int
    client: str | None = None


@dataclass
class Outcome:
    """Milliseconds from handing in until synced and until committed, by namespace, and refusals by reason."""

    synced_ms: dict[int, list[float]] = field(default_factory=dict)
    committed_ms: dict[int, list[float]] = field(default_factory=dict)
    admitted: Counter[int] = field(default_factory=Counter)
    refused: Counter[tuple[int, str]] = field(default_factory=Counter)


class FloodedLane:
    """Run it once."""

    def __init__(self, chain: Genesis, bounds: MempoolBounds, pace: Pace) -> None:
        self.pool = Mempool(chain, ValidatorIndex(0), bounds)
        self.outcome = Outcome()
        self._pace = pace
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._numbers = itertools.count()
        self._sent_ms: dict[int, float] = {}
        self._now_ms = 0.0
        self._seq = self._committed = 0
        self._is_syncing = False
        self._links_free_ms = 0.0
        self._seal_ms = -1.0

    def run(self, loads: list[Load], until_ms: float) -> Outcome:
        for load in loads:
            self._at(load.every_ms, lambda load=load: self._hand_in(load, until_ms))  # type: ignore[misc]
        while self._events:
            self._now_ms, _, happen = heapq.heappop(self._events)
            happen()
        return self.outcome

    def _at(self, mono_ms: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (mono_ms, next(self._order), happen))

    def _now(self) -> Now:
        return Now(Milliseconds(WALL_MS + int(self._now_ms)), self._now_ms)

    def _hand_in(self, load: Load, until_ms: float) -> None:
        items = [next(self._numbers).to_bytes(8, "big") + bytes(load.size - 8) for _ in range(load.items)]
        submission = self.pool.submit(load.namespace, Items.of(items), self._now(), load.client)
        self.outcome.admitted[load.namespace] += submission.admitted_count
        if submission.whole is not None:
            self.outcome.refused[load.namespace, submission.whole.reason.value] += load.items
        for entry in submission.refused:
            self.outcome.refused[load.namespace, entry.reason.value] += 1
        self._sent_ms[submission.ticket] = self._now_ms
        if self._now_ms < until_ms:
            self._at(self._now_ms + load.every_ms, lambda: self._hand_in(load, until_ms))
        self._wake()

    def _wake(self) -> None:
        if self._is_syncing:
            return
        at_ms = self.pool.next_seal_ms(OwnLane(self._seq - self._committed, is_syncing=False))
        if at_ms is None:
            return
        if at_ms > self._now_ms:
            if at_ms != self._seal_ms:
                self._seal_ms = at_ms
                self._at(at_ms, self._wake)
            return
        draft = self.pool.draft(self._now(), Seq(self._seq + 1), ZEROS, Epoch(0))
        if draft is not None:
            self._seq += 1
            self._is_syncing = True
            took_ms = self._pace.sync_ms + draft.byte_count / self._pace.sync_bytes_per_ms
            self._at(self._now_ms + took_ms, lambda: self._synced(draft))

    def _synced(self, draft: Draft) -> None:
        self._is_syncing = False
        self._note(draft, self.outcome.synced_ms)
        self._links_free_ms = max(self._links_free_ms, self._now_ms) + draft.byte_count / self._pace.order_bytes_per_ms
        self._at(self._links_free_ms + self._pace.commit_ms, lambda: self._commit(draft))
        self._wake()

    def _commit(self, draft: Draft) -> None:
        self._committed += 1
        self._note(draft, self.outcome.committed_ms)
        self._wake()

    def _note(self, draft: Draft, times: dict[int, list[float]]) -> None:
        for ticket, request in draft.requests.items():
            took_ms = self._now_ms - self._sent_ms[ticket]
            times.setdefault(request.namespace, []).extend([took_ms] * len(request))
