"""What a load is: where to, how much, how large, for how long; and the bytes of its requests.

Responsible for: `LoadPlan` with its bounds, unique transactions, fast-door bodies, which request goes where.
Refuses to do: send anything.

Invariants:
1. Transactions of at least UNIQUE_BYTES are all different, also from those of other runs.
2. No request is larger than what every node takes (BODY_BYTES_MAX, ITEMS_MAX).
"""

import itertools
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from consensus import limits
from consensus.vocabulary.batch import LENGTH_PREFIX_BYTES
from sequencer.load.errors import PlanFault

UNIQUE_BYTES = 16
ITEMS_MAX = limits.RECEIPT_ITEMS_MAX
BODY_BYTES_MAX = 4 * 1024 * 1024
_UNIQUE = struct.Struct(">QQ")


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """Times count from the start of the run; the warm-up is a part of `seconds`."""

    urls: Sequence[str]
    namespaces: Sequence[int]
    seconds: float
    rate: float | None = None  # transactions per second, sent when due; None: a closed loop of `clients`
    clients: int = 16
    items: int = 256  # transactions per request
    size: int = 512  # bytes per transaction
    warm_up_s: float = 0.0
    follow_every: int = 1  # every so manieth request is followed up to final
    requests_max: int = 384  # unanswered; one that is due beyond is not sent, and counted
    followers_max: int = 512  # beyond, a request is not followed, and counted
    wait_s: float = 30.0  # until a followed transaction is given up as unresolved
    keep_answers: bool = False

    def check(self) -> "LoadPlan":
        """Raises `PlanFault`."""
        problems = [
            (not self.urls, "no node to send to"),
            (not self.namespaces, "no namespace to send to"),
            (not 0 <= self.warm_up_s < self.seconds, "the warm-up ends before the run does"),
            (self.rate is not None and self.rate <= 0, "the rate is above 0"),
            (self.clients < 1, "there is at least one client"),
            (not 1 <= self.items <= ITEMS_MAX, f"a request has 1 to {ITEMS_MAX} transactions"),
            (not 1 <= self.size <= limits.TX_BYTES_CEILING, f"a transaction has 1 to {limits.TX_BYTES_CEILING} bytes"),
            (self.follow_every < 1, "every first, second … request is followed"),
            (body_bytes(self.items, self.size) > BODY_BYTES_MAX, f"a request has at most {BODY_BYTES_MAX} bytes"),
        ]
        for is_broken, rule in problems:
            if is_broken:
                raise PlanFault(rule)
        return self

    def place(self, number: int) -> tuple[str, int]:
        """Node and namespace of a request: all nodes in turn, all namespaces in turn."""
        rounds, node = divmod(number, len(self.urls))
        return self.urls[node], self.namespaces[(node + rounds) % len(self.namespaces)]


def body_bytes(items: int, size: int) -> int:
    """Length of a request's body."""
    return items * (size + LENGTH_PREFIX_BYTES)


def items_that_fit(items: int, size: int) -> int:
    """At most so many transactions of this size per request."""
    return max(1, min(items, ITEMS_MAX, BODY_BYTES_MAX // (size + LENGTH_PREFIX_BYTES)))


@dataclass(slots=True)
class Payloads:
    """Makes transactions; `random` tells its run from all others."""

    random: Random
    _run: int = field(init=False)
    _numbers: Iterator[int] = field(init=False)
    _tail: bytes = field(init=False)

    def __post_init__(self) -> None:
        self._run = self.random.getrandbits(64)
        self._numbers = itertools.count()
        self._tail = self.random.randbytes(1 << 16)

    def body(self, count: int, size: int) -> tuple[bytes, bytes, bytes]:
        """A fast-door body of `count` transactions of `size` bytes, its first transaction and its last."""
        prefix = size.to_bytes(LENGTH_PREFIX_BYTES, "big")
        if size < UNIQUE_BYTES:  # too short to number: drawn
            items = [self.random.randbytes(size) for _ in range(count)]
        else:
            tail = (self._tail * (size // len(self._tail) + 1))[: size - UNIQUE_BYTES]
            items = [_UNIQUE.pack(self._run, number) + tail for number in itertools.islice(self._numbers, count)]
        return b"".join([prefix + item for item in items]), items[0], items[-1]
