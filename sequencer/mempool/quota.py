"""Quotas: how many bytes and transactions a second a namespace or a client may hand in.

Responsible for: buckets of tokens, and the bounded table of clients.
Refuses to do: know what a client is (`sequencer/rpc/clients.py`), or count what was refused.

Invariants:
1. A request is let in while the bucket holds anything, and takes all it needs: the bucket may be overdrawn by one
   request, and is closed until that is paid back. So a request costs one look and one taking, however many transactions
   it holds, and one that is larger than the bucket gets through, too.
2. A bucket holds what comes in its burst time, or BURST_BYTES and BURST_TX if that is more. In any time t at most
   rate × t, a full bucket and one request are taken.
3. `wait_ms` is when the bucket opens again if nobody else takes from it.
4. The table holds at most so many clients; who was silent longest is forgotten first, and starts with a full bucket.
"""

from collections import OrderedDict

NAMESPACE_BURST_MS = 50  # short: what is let in at once stands in the lane before what others send meanwhile
CLIENT_BURST_MS = 1_000  # a client may be a rollup's only gateway, which sends a second's worth at once
BURST_BYTES = 64 * 1024  # for quotas so small that so long of them is hardly a request
BURST_TX = 64


class Bucket:
    """Tokens in bytes and in transactions; a rate of 0 bounds nothing.

    Each is kept as the time at which it would be full again ("theoretical arrival time", ITU-T I.371, GCRA).
    """

    __slots__ = ("_bytes_full_at_ms", "_bytes_ms", "_ms_per_byte", "_ms_per_tx", "_tx_full_at_ms", "_tx_ms")

    def __init__(self, bytes_per_s: int, tx_per_s: int, burst_ms: float) -> None:
        self._ms_per_byte = 1_000 / bytes_per_s if bytes_per_s else 0.0
        self._ms_per_tx = 1_000 / tx_per_s if tx_per_s else 0.0
        self._bytes_ms = max(burst_ms, BURST_BYTES * self._ms_per_byte)  # how long an empty bucket takes to be full
        self._tx_ms = max(burst_ms, BURST_TX * self._ms_per_tx)
        self._bytes_full_at_ms = 0.0
        self._tx_full_at_ms = 0.0

    def wait_ms(self, mono_ms: float) -> int:
        """0 while a request is let in, else in how many ms one will be."""
        missing_ms = max(self._bytes_full_at_ms - self._bytes_ms, self._tx_full_at_ms - self._tx_ms) - mono_ms
        return 0 if missing_ms < 0 else int(missing_ms) + 1

    def take(self, byte_count: int, tx_count: int, mono_ms: float) -> None:
        """So much was let in."""
        self._bytes_full_at_ms = max(self._bytes_full_at_ms, mono_ms) + byte_count * self._ms_per_byte
        self._tx_full_at_ms = max(self._tx_full_at_ms, mono_ms) + tx_count * self._ms_per_tx


class ClientQuotas:
    """A bucket for each client that handed something in lately."""

    def __init__(self, bytes_per_s: int, tx_per_s: int, clients_max: int) -> None:
        self._rates = (bytes_per_s, tx_per_s)
        self._clients_max = clients_max
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def bucket(self, client: str) -> Bucket:
        """The client's bucket, made if there is none."""
        found = self._buckets.get(client)
        if found is None:
            if len(self._buckets) >= self._clients_max:
                self._buckets.popitem(last=False)
            found = self._buckets[client] = Bucket(*self._rates, CLIENT_BURST_MS)
        else:
            self._buckets.move_to_end(client)
        return found
