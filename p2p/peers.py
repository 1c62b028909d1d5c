"""Who the other validators are, what the node is told about them, and what is counted.

This file is responsible for the vocabulary between the node and this room. It holds no behaviour.

1. A validator is named by its index everywhere; peer ids and addresses stay inside this room.
2. Every callback that is awaited holds back the reader it was called from: a slow node slows its peers' streams down.
3. For one peer, `link_opened` and `link_closed` alternate; frames and requests arrive between them.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Peer:
    """Another validator. `public_key` has 33 bytes; `host` is an IP address or a DNS name to dial."""

    index: int
    public_key: bytes
    host: str
    port: int


class LinkEvents(Protocol):
    """What the node gives. Callbacks are cancelled when the host ends, never because a link does."""

    def hello(self) -> bytes:
        """The body of our hello, asked for at each opening of a link."""

    async def link_opened(self, peer: int, hello: bytes) -> None:
        """Both hellos are through; the peer can be sent to. Raises PeerFault to refuse it."""

    def link_closed(self, peer: int, reason: str) -> None:
        """Called once for each `link_opened` that did not raise, after every other callback of that link is over."""

    async def frame_received(self, peer: int, kind: int, body: bytes) -> None:
        """One frame, in order within the urgent and within the bulk frames. Raises PeerFault."""

    async def request_received(self, peer: int, kind: int, body: bytes) -> bytes:
        """One request; returns the answer. Raises RequestRefused or PeerFault."""


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """One peer at one moment. `since_s` is when its link opened, in seconds of trio's clock, None while there is none.

    Bytes are of the sockets, over all links with this peer since the host began; `queue_bytes` is what waits now.
    """

    index: int
    connected: bool
    since_s: float | None
    bytes_in: int
    bytes_out: int
    queue_bytes: int
    round_trip_ms: float | None
    faults: int
    last_reason: str | None


@dataclass(slots=True)
class HostCounters:
    """What has happened since the host began. Reasons are words of ours, kinds are those of the node's table."""

    frames_in: Counter[int] = field(default_factory=Counter)
    frames_out: Counter[int] = field(default_factory=Counter)
    frame_bytes_in: Counter[int] = field(default_factory=Counter)
    frame_bytes_out: Counter[int] = field(default_factory=Counter)
    frames_not_queued: Counter[int] = field(default_factory=Counter)
    requests_in: Counter[int] = field(default_factory=Counter)
    requests_out: Counter[int] = field(default_factory=Counter)
    requests_failed: Counter[str] = field(default_factory=Counter)
    requests_dropped: int = 0
    links_opened: int = 0
    links_closed: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    dials: int = 0
    dials_failed: Counter[str] = field(default_factory=Counter)
    connections_in: int = 0
    connections_refused: Counter[str] = field(default_factory=Counter)
