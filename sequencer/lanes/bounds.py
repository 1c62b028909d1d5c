"""What one validator allows the lanes, with its reasons. `AHEAD_BATCHES_MAX` stands in `consensus/limits.py`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LaneBounds:
    """Local bounds with their defaults; times in ms."""

    lane_bytes_max: int = 64 * 1024 * 1024  # uncommitted, per author
    lane_batches_max: int = 1_024  # likewise, in batches: tiny ones cost more memory than their bytes
    ahead_bytes_max: int = 64 * 1024 * 1024  # in memory behind gaps; every lane has an equal share
    requests_max: int = 16  # in flight together
    requests_per_peer_max: int = 4
    wanted_max: int = 131_072  # missing batches of a node that comes back; about 350 bytes each
    push_grace_ms: float = 20  # a listed batch is likely on its way over its author's link: do not fetch it twice
    patience_min_ms: float = 20  # before the next pair is asked: two round trips, within these two
    patience_max_ms: float = 2_000
    rest_ms: float = 1_000  # a peer that failed to give a batch is asked after the others for so long
    rest_max_ms: float = 60_000
    round_pause_ms: float = 250  # before all are asked once more
    gap_delay_ms: float = 20  # a gap that closes by itself is none
    gap_retry_ms: float = 500
    rewind_interval_ms: float = 100  # a peer may ask us to go back that often
