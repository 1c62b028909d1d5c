"""What an operator may set of the mempool. Bounds that a chain fixes stand in its genesis."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MempoolBounds:
    """Local bounds with their defaults; times in ms."""

    batch_bytes_target: int = 512 * 1024  # a batch is sealed when this much waits; header and signature included
    namespace_queue_bytes: int = 16 * 1024 * 1024
    namespace_queue_entries: int = 65_536  # tiny transactions cost more memory than their bytes
    client_bytes_per_s: int = 16 * 1024 * 1024  # over all namespaces, length prefixes included; 0: no bound
    client_tx_per_s: int = 50_000  # 0: no bound
    clients_max: int = 16_384  # whose quotas are remembered; about 200 bytes each
    bytes_max: int = 256 * 1024 * 1024  # over all namespaces
    entries_max: int = 1_048_576
    ttl_ms: int = 30_000
    seen_window_ms: int = 60_000
    seen_count_max: int = 1_048_576  # about 100 bytes each
    lane_window_bytes: int = 8 * 1024 * 1024  # sealed and not committed; batches wait beyond it
    batch_delay_min_ms: float = 2
    batch_delay_max_ms: float = 40
