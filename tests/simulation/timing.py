"""How fast simulated validators are: views of 40 ms, so that a schedule of a second has many."""

from consensus.replica.state import ReplicaTiming

TIMING = ReplicaTiming(
    view_timeout_ms=40,
    view_timeout_max_ms=120,
    min_block_interval_loaded_ms=6,
    idle_interval_ms=6,
    fetch_delay_ms=4,
    fetch_retry_ms=20,
)
