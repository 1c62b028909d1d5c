"""Asking for batches by digest.

Responsible for: whom to ask next, and how many requests may be out.
Refuses to do: look at batches; it knows digests and who is said to hold them.

Invariants:
1. A digest is asked from two of its holders at a time, from one while more digests are missing than requests may be in
   flight; the next after two round trips, or one more after a failure. When all were asked it begins again after a
   pause. Only holders are asked, and only over an open link.
2. At most `requests_max` requests are in flight, at most `requests_per_peer_max` of them to one peer, whatever was
   given up meanwhile: a request counts until it is answered or its link is closed.
3. Older wishes are served first, so that execution can go on from where it stands.
4. A peer that failed rests for `rest_ms`, twice as long after each further failure in a row, up to `rest_max_ms`: a
   wish rather waits for a busy one. A resting peer is asked for what all others were asked for, and if all rest.
5. At most `wanted_max` digests are remembered; one more is refused, and its batch is asked for when it is named again.
"""

import heapq
from collections import Counter
from dataclasses import dataclass

from consensus.clock import Now
from consensus.numbers import Digest, ValidatorIndex
from sequencer.lanes.bounds import LaneBounds
from sequencer.lanes.effects import RequestBatch

_PAIR = 2
_EXAMINED_MAX = 64  # wishes looked at per step
_SMOOTHING = 0.2
_FIRST_ROUND_TRIP_MS = 50.0


_NOBODY: frozenset[ValidatorIndex] = frozenset()


@dataclass(slots=True)
class _Wish:
    """One missing batch. There can be very many: the sets are shared while nobody was asked."""

    digest: Digest
    holders: tuple[ValidatorIndex, ...]
    due_mono_ms: float = 0.0  # when to look at it again
    patient_until_mono_ms: float = 0.0  # when the present pair has had its time
    pair: frozenset[ValidatorIndex] = _NOBODY  # asked and neither failed nor out of time
    asked: frozenset[ValidatorIndex] = _NOBODY  # in this round


class Fetches:
    """See the module's invariants."""

    def __init__(self, bounds: LaneBounds) -> None:
        self._bounds = bounds
        self._wishes: dict[Digest, _Wish] = {}
        self._due: list[tuple[float, int, Digest]] = []  # a heap; entries that no longer match a wish are skipped
        self._order = 0
        self._in_flight: dict[tuple[Digest, ValidatorIndex], float] = {}
        self._load: Counter[ValidatorIndex] = Counter()  # requests in flight by peer, of linked peers
        self._failures: Counter[ValidatorIndex] = Counter()  # in a row, by peer
        self._rests_until_mono_ms: dict[ValidatorIndex, float] = {}
        self._seen_mono_ms = 0.0
        self._linked: set[ValidatorIndex] = set()
        self._round_trip_ms = _FIRST_ROUND_TRIP_MS

    def __len__(self) -> int:
        return len(self._wishes)

    def __contains__(self, digest: Digest) -> bool:
        return digest in self._wishes

    @property
    def in_flight_count(self) -> int:
        """Requests that have not been answered."""
        return len(self._in_flight)

    def is_in_flight(self, digest: Digest, peer: ValidatorIndex) -> bool:
        """Whether `peer` was asked for this and has not answered."""
        return (digest, peer) in self._in_flight

    def want(self, digest: Digest, holders: tuple[ValidatorIndex, ...], due_mono_ms: float) -> bool:
        """Remembers a wish, or more holders of it. Returns False if there is no room (invariant 5)."""
        wish = self._wishes.get(digest)
        if wish is not None:
            wish.holders += tuple(peer for peer in holders if peer not in wish.holders)
            return True
        if len(self._wishes) >= self._bounds.wanted_max:
            return False
        self._wishes[digest] = wish = _Wish(digest, holders)
        self._set_due(wish, due_mono_ms)
        return True

    def drop(self, digest: Digest) -> None:
        """The batch is here."""
        self._wishes.pop(digest, None)

    def link_opened(self, peer: ValidatorIndex) -> None:
        """`peer` may be asked."""
        self._linked.add(peer)

    def link_closed(self, peer: ValidatorIndex, now: Now) -> None:
        """`peer` cannot be asked, and will not answer."""
        self._linked.discard(peer)
        for digest, asked in list(self._in_flight):
            if asked == peer:
                self.failed(digest, peer, now)

    def answered(self, digest: Digest, peer: ValidatorIndex, now: Now) -> None:
        """A request ended with the batch."""
        sent_mono_ms = self._end(digest, peer)
        if sent_mono_ms is not None:
            self._round_trip_ms += _SMOOTHING * (now.mono_ms - sent_mono_ms - self._round_trip_ms)
            self._failures.pop(peer, None)
            self._rests_until_mono_ms.pop(peer, None)

    def failed(self, digest: Digest, peer: ValidatorIndex, now: Now) -> None:
        """A request ended without the batch."""
        if self._end(digest, peer) is not None and peer in self._linked:
            rest_ms = self._bounds.rest_ms * 2 ** min(self._failures[peer], 16)
            self._failures[peer] += 1
            self._rests_until_mono_ms[peer] = now.mono_ms + min(rest_ms, self._bounds.rest_max_ms)
        wish = self._wishes.get(digest)
        if wish is not None and peer in wish.pair:
            wish.pair -= {peer}
            self._set_due(wish, now.mono_ms)

    def _end(self, digest: Digest, peer: ValidatorIndex) -> float | None:
        sent_mono_ms = self._in_flight.pop((digest, peer), None)
        if sent_mono_ms is not None:
            self._load[peer] -= 1
        return sent_mono_ms

    def _set_due(self, wish: _Wish, due_mono_ms: float) -> None:
        self._order += 1
        wish.due_mono_ms = due_mono_ms
        heapq.heappush(self._due, (due_mono_ms, self._order, wish.digest))

    def _room_from_ms(self) -> float | None:
        """From when on one more request may go out; None while only an answer or a link can help."""
        bounds, rests = self._bounds, self._rests_until_mono_ms
        free = [peer for peer in self._linked if self._load[peer] < bounds.requests_per_peer_max]
        if not free or len(self._in_flight) >= bounds.requests_max:
            return None
        if all(rests.get(peer, 0.0) > self._seen_mono_ms for peer in self._linked):
            return 0.0
        return min(rests.get(peer, 0.0) for peer in free)

    def _first_due(self) -> _Wish | None:
        """The wish that is due first; skips what no longer counts."""
        while self._due:
            due_mono_ms, _order, digest = self._due[0]
            wish = self._wishes.get(digest)
            if wish is not None and wish.due_mono_ms == due_mono_ms:
                return wish
            heapq.heappop(self._due)
        return None

    def next_due_ms(self) -> float | None:
        """When `requests` should be called next; None while only an answer or a link can help."""
        room_ms, wish = self._room_from_ms(), self._first_due()
        return None if room_ms is None or wish is None else max(room_ms, wish.due_mono_ms)

    def requests(self, now: Now) -> list[RequestBatch]:
        """The requests to send now."""
        sent: list[RequestBatch] = []
        self._seen_mono_ms = now.mono_ms
        for _ in range(_EXAMINED_MAX):
            room_ms, wish = self._room_from_ms(), self._first_due()
            if room_ms is None or wish is None or max(room_ms, wish.due_mono_ms) > now.mono_ms:
                break
            heapq.heappop(self._due)
            sent += self._ask_next(wish, now)
        return sent

    def _ask_next(self, wish: _Wish, now: Now) -> list[RequestBatch]:
        bounds, sent = self._bounds, []
        if now.mono_ms >= wish.patient_until_mono_ms:
            wish.pair = _NOBODY
        candidates = [
            peer
            for peer in wish.holders
            if peer in self._linked and peer not in wish.asked and not self.is_in_flight(wish.digest, peer)
        ]
        at_once = _PAIR if len(self._wishes) <= bounds.requests_max else 1
        awake = [peer for peer in candidates if self._rests_until_mono_ms.get(peer, 0.0) <= now.mono_ms]
        for peer in sorted(awake or candidates, key=lambda peer: (self._load[peer], peer)):
            if len(wish.pair) >= at_once or len(self._in_flight) >= bounds.requests_max:
                break
            if self._load[peer] < bounds.requests_per_peer_max:
                wish.pair |= {peer}
                wish.asked |= {peer}
                self._in_flight[wish.digest, peer] = now.mono_ms
                self._load[peer] += 1
                sent.append(RequestBatch(peer, wish.digest))
        if sent:
            patience_ms = min(max(2 * self._round_trip_ms, bounds.patience_min_ms), bounds.patience_max_ms)
            wish.patient_until_mono_ms = now.mono_ms + patience_ms
        if wish.pair:
            self._set_due(wish, wish.patient_until_mono_ms)
        elif candidates:
            self._set_due(wish, now.mono_ms + bounds.patience_min_ms)
        else:
            wish.asked = _NOBODY
            self._set_due(wish, now.mono_ms + bounds.round_pause_ms)
        return sent
