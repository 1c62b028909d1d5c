"""Every bound and every time of the validator links, in one place.

This file is responsible for numbers alone. The kinds of frames and requests, and how large each may be, are the
node's to say: this room checks sizes and never looks inside.

1. A kind that is not in the table is not known, and what is not known closes the link.
2. Kinds 0 and 255 belong to this room; no table may hold them.
3. Nothing received is larger than its bound, and the bound is looked at before a byte is allocated for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

KIND_HELLO = 0
KIND_HEARTBEAT = 255
KINDS_RESERVED = frozenset({KIND_HELLO, KIND_HEARTBEAT})

FRAME_BYTES_CEILING = 64 * 1024 * 1024
"""No table may allow more than this in one frame, request or answer."""

SLICE_BYTES = 65_512
"""One write: with its 7 bytes of header and its 16 of authentication it is exactly one Noise message."""

READ_BYTES = 256 * 1024
"""One read of a socket or of a stream."""

SMALL_BYTES = 4_096
"""Pieces up to this size are put together as they arrive: each piece kept costs an object."""

WINDOW_BYTES_FIRST = 256 * 1024
"""How far a peer may write ahead of us on a stream of which nothing was read yet."""

WINDOW_BYTES_MAX = 1024 * 1024
"""How far a peer may write ahead of us on one stream, and so what lies in front of an urgent frame: more takes a
receiver that is short of processor time a second. At a round trip of 100 ms it carries 10 MB/s."""

STREAMS_INBOUND_MAX = 128
"""Open streams a peer may hold on one connection. An honest one needs two and its requests, and a few closing ones."""

STREAMS_BURST = 1_024
STREAMS_PER_SECOND = 100
"""How fast a peer may open streams. We open ours at half of it, so that an honest peer never meets the bound."""


@dataclass(frozen=True, slots=True)
class LinkBounds:
    """Sizes in bytes, by kind where a kind has its own.

    `frames` and `requests` map a kind to the largest body it may have; `answer_bytes_max` bounds what we answer.
    """

    frames: Mapping[int, int]
    requests: Mapping[int, int]
    hello_bytes_max: int = 64 * 1024
    answer_bytes_max: int = 8 * 1024 * 1024
    urgent_queue_bytes_max: int = 8 * 1024 * 1024
    bulk_queue_bytes_max: int = 64 * 1024 * 1024
    requests_in_flight_max: int = 32

    def __post_init__(self) -> None:
        for table in (self.frames, self.requests):
            for kind, bytes_max in table.items():
                if not 0 <= kind <= 255:
                    raise ValueError(f"kind {kind} does not fit one byte")
                if not 0 <= bytes_max <= FRAME_BYTES_CEILING:
                    raise ValueError(f"kind {kind}: {bytes_max} bytes is over the ceiling of {FRAME_BYTES_CEILING}")
        if KINDS_RESERVED & self.frames.keys():
            raise ValueError(f"frame kinds {sorted(KINDS_RESERVED)} are reserved")
        if not 0 < self.hello_bytes_max <= 64 * 1024:
            raise ValueError("a hello must fit the first window of a stream: at most 64 KiB")
        if not 0 < self.answer_bytes_max <= FRAME_BYTES_CEILING:
            raise ValueError(f"answer_bytes_max must be positive and at most {FRAME_BYTES_CEILING}")
        if not 0 < self.requests_in_flight_max <= STREAMS_INBOUND_MAX // 4:
            raise ValueError(f"requests_in_flight_max must be positive and at most {STREAMS_INBOUND_MAX // 4}")


@dataclass(frozen=True, slots=True)
class LinkTimes:
    """All in milliseconds of the monotonic clock."""

    heartbeat_ms: int = 1_000
    silence_ms: int = 3_000
    tick_ms: int = 250
    connect_ms: int = 5_000
    handshake_ms: int = 5_000
    serve_ms: int = 30_000
    mute_ms: int = 60_000
    redial_first_ms: int = 100
    redial_last_ms: int = 2_000

    def __post_init__(self) -> None:
        if not 0 < self.tick_ms <= self.heartbeat_ms < self.silence_ms:
            raise ValueError("times must satisfy tick_ms <= heartbeat_ms < silence_ms")
        if not 0 < self.redial_first_ms <= self.redial_last_ms:
            raise ValueError("times must satisfy redial_first_ms <= redial_last_ms")
