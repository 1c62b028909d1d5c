"""A switch for IP packets between network namespaces that delays, loses and refuses them, each way by itself.

Every host is the far end of a TUN device: what its kernel routes there is read here and handed to the host it is for.
What is lost or late is whole IP packets, and TCP on both sides does what it does on a bad line. (The kernel's own way,
`tc netem`, is not built into every kernel.)

Responsible for: carrying packets in a thread of its own, and what becomes of those between two hosts.
Refuses to do: read what they carry.
"""

import os
import select
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random

PACKET_BYTES_MAX = 65_535
WAITING_MAX = 20_000  # packets on their way; what finds no room is lost, as on any line
_IDLE_S = 1.0
_READS_IN_A_ROW = 64
QUEUE_S_MAX = 0.5  # what would wait longer for its turn on a narrow line is lost, as at a router


@dataclass(frozen=True, slots=True)
class Line:
    """The way from one host to another."""

    is_cut: bool = False
    delay_s: float = 0.0
    jitter_s: float = 0.0  # up to this much more, drawn for each packet: they overtake each other
    loss: float = 0.0  # the share of packets that never arrive
    bytes_per_s: float = 0.0  # how much it carries, packet after packet; 0: whatever comes


GOOD = Line()


class PacketSwitch:
    """Hosts by their address (four bytes), each with the descriptor of its TUN device."""

    def __init__(self, seed: int = 0) -> None:
        self._random = Random(seed)
        self._descriptors: dict[bytes, int] = {}
        self._lines: dict[tuple[bytes, bytes], Line] = {}
        self._waiting: list[tuple[float, int, bytes, bytes]] = []
        self._count = 0
        self._free_s: dict[tuple[bytes, bytes], float] = {}  # when a narrow line has carried what it was given
        self._poll = select.epoll()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="packet-switch", daemon=True)
        self.carried: dict[tuple[bytes, bytes], int] = {}
        self.lost: dict[tuple[bytes, bytes], int] = {}

    def plug(self, address: bytes, descriptor: int) -> None:
        """Before `start`. The descriptor does not block and is closed with the switch."""
        self._descriptors[address] = descriptor
        self._poll.register(descriptor, select.EPOLLIN)

    def start(self) -> None:
        """From now on packets are carried."""
        self._thread.start()

    def close(self) -> None:
        """Nothing is carried any more."""
        self._stopped.set()
        self._thread.join()
        self._poll.close()
        for descriptor in self._descriptors.values():
            os.close(descriptor)

    def set_lines(self, senders: Iterable[bytes], receivers: Iterable[bytes], line: Line) -> None:
        """The way from each of these to each of those is so from now on."""
        lines = dict(self._lines)
        for sender in senders:
            for receiver in receivers:
                lines[sender, receiver] = line
        self._lines = lines  # at once: the thread sees the old ones or the new ones

    def heal(self) -> None:
        """Every line is good again."""
        self._lines = {}

    def _run(self) -> None:
        addresses = {descriptor: address for address, descriptor in self._descriptors.items()}
        while not self._stopped.is_set():
            wait_s = max(0.0, self._waiting[0][0] - time.monotonic()) if self._waiting else _IDLE_S
            for descriptor, _ in self._poll.poll(min(wait_s, _IDLE_S)):
                self._read(descriptor, addresses[descriptor])
            now_s = time.monotonic()
            while self._waiting and self._waiting[0][0] <= now_s:
                _, _, receiver, packet = heappop(self._waiting)
                self._write(receiver, packet)

    def _read(self, descriptor: int, sender: bytes) -> None:
        for _ in range(_READS_IN_A_ROW):
            try:
                packet = os.read(descriptor, PACKET_BYTES_MAX)
            except OSError:  # nothing more, or the device is going
                return
            if packet[0] >> 4 == 4:  # IP version 4: there is no host to be found with version 6
                self._take(sender, packet[16:20], packet)

    def _take(self, sender: bytes, receiver: bytes, packet: bytes) -> None:
        line = self._lines.get((sender, receiver), GOOD)
        way = (sender, receiver)
        due_s = now_s = time.monotonic()
        if line.bytes_per_s:
            due_s = max(now_s, self._free_s.get(way, now_s)) + len(packet) / line.bytes_per_s
        is_full = len(self._waiting) >= WAITING_MAX or due_s - now_s > QUEUE_S_MAX
        if line.is_cut or is_full or self._random.random() < line.loss:
            self.lost[way] = self.lost.get(way, 0) + 1
            return
        self.carried[way] = self.carried.get(way, 0) + 1
        self._free_s[way] = due_s
        if due_s == now_s and line.delay_s == 0:
            self._write(receiver, packet)
            return
        self._count += 1
        due_s += line.delay_s + self._random.random() * line.jitter_s
        heappush(self._waiting, (due_s, self._count, receiver, packet))

    def _write(self, receiver: bytes, packet: bytes) -> None:
        descriptor = self._descriptors.get(receiver)
        if descriptor is not None:
            with suppress(OSError):  # its queue is full, or the device is going: lost
                os.write(descriptor, packet)
