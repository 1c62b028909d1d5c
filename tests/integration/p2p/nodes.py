"""Hosts on loopback with a node that only remembers what it was told."""

from collections.abc import Awaitable, Callable
from random import Random

import trio

from p2p.bounds import LinkBounds, LinkTimes
from p2p.errors import RequestRefused
from p2p.host import ValidatorHost
from p2p.identity import public_key_of
from p2p.peers import Peer, PeerStatus

SECRETS = [bytes([number + 1]) * 32 for number in range(8)]
PUBLIC_KEYS = [public_key_of(secret) for secret in SECRETS]
VOTE, BATCH, EMPTY = 1, 2, 3
ECHO, REFUSE, STALL, LARGE = 1, 2, 3, 4
BOUNDS = LinkBounds(
    frames={VOTE: 1_000, BATCH: 2 * 1024 * 1024, EMPTY: 0},
    requests={ECHO: 100_000, REFUSE: 10, STALL: 10, LARGE: 10},
    answer_bytes_max=4 * 1024 * 1024,
)
Address = tuple[str, int]
NOWHERE: Address = ("127.0.0.1", 1)


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something is so. The bound is only there to end a test that has failed."""
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for happens inside the hosts
            await trio.sleep(0.01)


class RecordingNode:
    """The events of one host, as they came. Hooks change what it does."""

    def __init__(self, greeting: bytes = b"hello") -> None:
        self.greeting = greeting
        self.opened: list[tuple[int, bytes]] = []
        self.closed: list[tuple[int, str]] = []
        self.frames: list[tuple[int, int, bytes]] = []
        self.requests: list[tuple[int, int, bytes]] = []
        self.when_opened: Callable[[int, bytes], Awaitable[None]] | None = None
        self.when_frame: Callable[[int, int, bytes], Awaitable[None]] | None = None
        self.may_answer = trio.Event()

    def hello(self) -> bytes:
        return self.greeting

    async def link_opened(self, peer: int, hello: bytes) -> None:
        if self.when_opened is not None:
            await self.when_opened(peer, hello)
        self.opened.append((peer, hello))

    def link_closed(self, peer: int, reason: str) -> None:
        self.closed.append((peer, reason))

    async def frame_received(self, peer: int, kind: int, body: bytes) -> None:
        if self.when_frame is not None:
            await self.when_frame(peer, kind, body)
        self.frames.append((peer, kind, body))

    async def request_received(self, peer: int, kind: int, body: bytes) -> bytes:
        self.requests.append((peer, kind, body))
        if kind == REFUSE:
            raise RequestRefused("not today")
        if kind == STALL:
            await self.may_answer.wait()
        return bytes(BOUNDS.answer_bytes_max) if kind == LARGE else body

    def bodies(self, peer: int, kind: int) -> list[bytes]:
        return [body for sender, sent, body in self.frames if (sender, sent) == (peer, kind)]


def make_host(
    index: int,
    peers: dict[int, Address],
    node: RecordingNode,
    *,
    port: int = 0,
    times: LinkTimes | None = None,
    bounds: LinkBounds = BOUNDS,
    fatal: tuple[type[Exception], ...] = (),
) -> ValidatorHost:
    return ValidatorHost(
        secret=SECRETS[index],
        index=index,
        peers=[Peer(other, PUBLIC_KEYS[other], *address) for other, address in peers.items()],
        listen_host="127.0.0.1",
        listen_port=port,
        events=node,
        bounds=bounds,
        jitter=Random(index),
        times=times,
        fatal=fatal,
    )


async def start(nursery: trio.Nursery, host: ValidatorHost) -> Address:
    """Run a host; returns where it listens."""
    address: Address = await nursery.start(host.run)
    return address


def status(host: ValidatorHost, peer: int) -> PeerStatus:
    return next(entry for entry in host.peers() if entry.index == peer)


def is_linked(host: ValidatorHost, peer: int) -> bool:
    return status(host, peer).connected


class Pair:
    """Two linked hosts: `low` dialled `high`."""

    def __init__(self, low: ValidatorHost, high: ValidatorHost, low_node: RecordingNode, high_node: RecordingNode):
        self.low, self.high = low, high
        self.low_node, self.high_node = low_node, high_node

    async def linked(self) -> None:
        await until(lambda: bool(self.low_node.opened and self.high_node.opened))
        await until(lambda: is_linked(self.low, 1) and is_linked(self.high, 0))


async def start_pair(
    nursery: trio.Nursery, *, times: LinkTimes | None = None, bounds: LinkBounds = BOUNDS, linked: bool = True
) -> Pair:
    low_node, high_node = RecordingNode(b"from low"), RecordingNode(b"from high")
    high = make_host(1, {0: NOWHERE}, high_node, times=times, bounds=bounds)
    address = await start(nursery, high)
    low = make_host(0, {1: address}, low_node, times=times, bounds=bounds)
    await start(nursery, low)
    pair = Pair(low, high, low_node, high_node)
    if linked:
        await pair.linked()
    return pair
