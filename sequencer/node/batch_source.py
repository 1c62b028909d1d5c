"""Where a held batch's bytes come from: a cache of recent ones, else the segment files.

Responsible for: one bounded cache that lanes fill and execution, peers and clients read.
Refuses to do: fetch from the network.

Invariants:
1. The cache is bounded in bytes; the oldest go first. Every held batch can be read from disk at any time.
2. `load` may run in a thread.
"""

import threading
from collections import OrderedDict

from consensus.genesis import Genesis
from consensus.numbers import Digest
from consensus.vocabulary.batch import Batch
from storage.batches import BatchLog

CACHE_BYTES_MAX = 64 * 1024 * 1024  # six seconds at 20,000 transactions of 512 bytes a second


class BatchSource:
    """Batches by digest."""

    def __init__(self, chain: Genesis, log: BatchLog, cache_bytes_max: int = CACHE_BYTES_MAX) -> None:
        self._batch_bytes_max = chain.parameters.batch_bytes_max
        self._log = log
        self._cache: OrderedDict[Digest, Batch] = OrderedDict()
        self._cache_bytes = 0
        self._cache_bytes_max = cache_bytes_max
        self._turn = threading.Lock()

    def remember(self, batch: Batch) -> None:
        """Keeps a batch that will be wanted soon."""
        with self._turn:
            if batch.digest in self._cache:
                return
            self._cache[batch.digest] = batch
            self._cache_bytes += len(batch.encoded)
            while self._cache_bytes > self._cache_bytes_max:
                _, oldest = self._cache.popitem(last=False)
                self._cache_bytes -= len(oldest.encoded)

    def load(self, digest: Digest) -> Batch | None:
        """The batch, or None if it is not held. Raises `StorageFault`."""
        with self._turn:
            cached = self._cache.get(digest)
        if cached is not None:
            return cached
        encoded = self._log.read(digest)
        if encoded is None:
            return None
        batch = Batch.decode(encoded, self._batch_bytes_max)
        self.remember(batch)
        return batch

    def holds(self, digest: Digest) -> bool:
        """Whether the batch is on disk."""
        return self._log.contains(digest)

    def encoded(self, digest: Digest) -> bytes | None:
        """The bytes of a held batch, for a peer: they do not displace what we need ourselves."""
        with self._turn:
            cached = self._cache.get(digest)
        return cached.encoded if cached is not None else self._log.read(digest)
