"""When the next batch is due: a pure function of what waits and of our own lane.

Responsible for: trading latency for the cost of a batch (3–4 ms of CPU over four nodes, whatever it holds), and never
running past the lane bound: validators list at most that many batches of a lane ahead of its last commit.
Refuses to do: keep state.

Invariants:
1. Idle (no batch of ours between sealed and synced, the last one older than the delay): at once.
2. Else after the delay, or as soon as a whole batch waits.
3. The delay grows with the number of our uncommitted batches u. With a commit lag L and a delay d, u settles at L ÷ d,
   so a delay that grows with u is also never below L ÷ the lane bound: it passes every limit as u nears the bound, and
   at the bound nothing is sealed until a commit, while batches grow.
4. While more of the lane is out than its window (`window.py`), a batch waits for a commit, or for PATIENCE_MS after the
   last one: where nothing commits, receipts are still given.
"""

import math
from dataclasses import dataclass

from sequencer.mempool.bounds import MempoolBounds

PATIENCE_MS = 250.0
_RISE_SHARE = 0.25  # of the bound: from here on the delay stays at its maximum …
_SPARE_SHARE = 0.25  # … until only this share of the bound is left


@dataclass(frozen=True, slots=True)
class OwnLane:
    """What sealing must know of our own lane."""

    uncommitted: int  # batches sealed and not yet committed
    is_syncing: bool  # one of them is between sealed and synced


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in the queues. Times on the monotonic clock; minus infinity when there was no batch yet."""

    byte_count: int
    since_mono_ms: float  # when the oldest arrived, or the last batch left without it
    last_sealed_mono_ms: float
    is_lane_full: bool = False  # its window is


def batch_delay_ms(uncommitted: int, batches_max: int, bounds: MempoolBounds) -> float:
    """How long to wait between batches with `uncommitted` of at most `batches_max` out; infinite at the bound."""
    spare = batches_max - uncommitted
    if spare <= 0:
        return math.inf
    lowest, highest = bounds.batch_delay_min_ms, bounds.batch_delay_max_ms
    if spare <= batches_max * _SPARE_SHARE:
        return highest * batches_max * _SPARE_SHARE / spare
    return min(highest, lowest + (highest - lowest) * uncommitted / (batches_max * _RISE_SHARE))


def seal_at_mono_ms(backlog: Backlog, own: OwnLane, batches_max: int, bounds: MempoolBounds) -> float | None:
    """When the next batch is due (a time in the past: now), or None: only another event can make one due.

    `batches_max` is the chain's LANE_REPORT_BATCHES.
    """
    if backlog.byte_count == 0 or own.uncommitted >= batches_max:
        return None
    if backlog.byte_count >= bounds.batch_bytes_target:
        due_mono_ms = backlog.since_mono_ms
    else:
        delay_ms = batch_delay_ms(own.uncommitted, batches_max, bounds)
        due_mono_ms = (backlog.since_mono_ms if own.is_syncing else backlog.last_sealed_mono_ms) + delay_ms
    return max(due_mono_ms, backlog.last_sealed_mono_ms + PATIENCE_MS) if backlog.is_lane_full else due_mono_ms
