"""Hosts of their own for validators: network namespaces, joined by a switch that a test can make bad (`packet_switch`).

Needs root, the `ip` command and TUN devices; `reason_to_skip` says what is missing. The addresses are of 198.18.0.0/15,
which is reserved for measuring networks, so that they are nobody else's.
"""

import fcntl
import os
import secrets
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.e2e.packet_switch import GOOD, Line, PacketSwitch

_TUN = Path("/dev/net/tun")
_TUNSETIFF = 0x400454CA  # linux/if_tun.h
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_OURS = 254
CUT = Line(is_cut=True)


def reason_to_skip() -> str | None:
    """What this machine lacks, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "the command ip is missing (Debian: apt-get install iproute2)"
    name = f"probe-{secrets.token_hex(4)}"
    try:
        os.close(_open_tun(name))
        _ip("netns", "add", name)
        _ip("netns", "delete", name)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"network namespaces or TUN devices are not allowed here: {error}"
    return None


class Hosts:
    """Some hosts and the network between them; we are a host of it, too, and what we do is never disturbed."""

    def __init__(self, count: int) -> None:
        self._network = f"198.{18 + secrets.randbelow(2)}.{secrets.randbelow(256)}"
        tag = secrets.token_hex(3)
        self.addresses = [f"{self._network}.{index + 1}" for index in range(count)]
        self.names = [f"sequencer-{tag}-{index}" for index in range(count)]
        self.switch = PacketSwitch(seed=count)
        try:
            for index, name in enumerate(self.names):
                _ip("netns", "add", name)
                self._plug(self.addresses[index], f"sq{tag}{index}", name)
            self._plug(f"{self._network}.{_OURS}", f"sq{tag}t", None)
        except BaseException:
            self._remove_namespaces()
            raise
        self.switch.start()

    def close(self) -> None:
        """Everything is gone; the processes must have ended."""
        self.switch.close()
        self._remove_namespaces()

    def command_in(self, index: int, command: Sequence[str]) -> Sequence[str]:
        """Runs a command on a host, under the same process id."""
        return ("ip", "netns", "exec", self.names[index], *command)

    # what becomes of packets between validators

    def set_lines(self, senders: Iterable[int], receivers: Iterable[int], line: Line) -> None:
        """One way."""
        packed = [socket.inet_aton(address) for address in self.addresses]
        self.switch.set_lines([packed[index] for index in senders], [packed[index] for index in receivers], line)

    def set_all(self, line: Line) -> None:
        """Every line between validators."""
        everybody = range(len(self.addresses))
        self.set_lines(everybody, everybody, line)

    def part(self, *groups: Sequence[int]) -> None:
        """Only who is in one group hears each other."""
        self.set_all(CUT)
        for group in groups:
            self.set_lines(group, group, GOOD)

    def heal(self) -> None:
        """Every line is good."""
        self.switch.heal()

    def _plug(self, address: str, device: str, namespace: str | None) -> None:
        descriptor = _open_tun(device)
        self.switch.plug(socket.inet_aton(address), descriptor)
        inside: tuple[str, ...] = ()
        if namespace is not None:
            _ip("link", "set", device, "netns", namespace)
            inside = ("-n", namespace)
            _ip(*inside, "link", "set", "lo", "up")
        _ip(*inside, "address", "add", f"{address}/24", "dev", device)
        _ip(*inside, "link", "set", device, "up")

    def _remove_namespaces(self) -> None:
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def _open_tun(device: str) -> int:
    """A TUN device that lasts as long as the descriptor."""
    descriptor = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TUN | _IFF_NO_PI))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
