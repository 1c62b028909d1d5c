"""The ports of a devnet on this machine: its validators' and its L1's.

Invariants:
1. Validator i has base + 10 i (p2p), + 1 (edge), + 2 (RPC), + 3 (metrics); the L1 has base + 900, or
   what follows on the last of more than 90 validators.
2. Every port is tried before anything is started, and all that are taken are reported together.
"""

import errno
import socket
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

from sequencer.cli.errors import CommandError, UsageFault

LOOPBACK = "127.0.0.1"
PORTS_PER_VALIDATOR = 10
_L1_PORT_OFFSET = 900
_PORT_MAX = 65_535


@dataclass(frozen=True, slots=True)
class ValidatorPorts:
    """TCP ports of one validator."""

    p2p: int
    rpc: int
    metrics: int

    def all(self) -> tuple[int, ...]:
        """The ports it listens on."""
        return (self.p2p, self.rpc, self.metrics)


def ports_from_base(base: int, count: int) -> list[ValidatorPorts]:
    """The ports of `count` validators from `base` on. Raises `UsageFault` if they do not fit."""
    last = base + PORTS_PER_VALIDATOR * count - 1
    if base < 1 or last > _PORT_MAX:
        raise UsageFault(f"--base-port {base}: {count} validators use ports {base} to {last}, of 1 to {_PORT_MAX}")
    starts = range(base, base + PORTS_PER_VALIDATOR * count, PORTS_PER_VALIDATOR)
    return [ValidatorPorts(start, start + 2, start + 3) for start in starts]


def l1_port_from_base(base: int, count: int) -> int:
    """The port of the L1 beside `count` validators. Raises `UsageFault` if there is no such port."""
    port = base + max(_L1_PORT_OFFSET, PORTS_PER_VALIDATOR * count)
    if port > _PORT_MAX:
        raise UsageFault(f"--base-port {base}: the L1 would use port {port}, above {_PORT_MAX}")
    return port


def free_port() -> int:
    """A port that the system says is free now."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as listener:
        listener.bind((LOOPBACK, 0))
        return int(listener.getsockname()[1])


def free_ports(count: int) -> list[ValidatorPorts]:
    """Ports for `count` validators that the system says are free now; all are held until all are chosen."""
    with ExitStack() as held:
        numbers = []
        for _ in range(3 * count):
            listener = held.enter_context(closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)))
            listener.bind((LOOPBACK, 0))
            numbers.append(int(listener.getsockname()[1]))
    return [ValidatorPorts(*numbers[place : place + 3]) for place in range(0, len(numbers), 3)]


def taken_ports(ports: Sequence[ValidatorPorts]) -> list[int]:
    """Which of these ports something listens on."""
    return [port for validator in ports for port in validator.all() if _is_taken(port)]


def require_free(ports: Sequence[ValidatorPorts], others: Sequence[int] = ()) -> None:
    """Raises `UsageFault` naming every port that is taken, of validators and others."""
    taken = taken_ports(ports) + [port for port in others if _is_taken(port)]
    if taken:
        raise UsageFault(
            f"something listens on port {', '.join(map(str, taken))} already; stop it, or use other ports: --base-port"
        )


def _is_taken(port: int) -> bool:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as listener:
        # As servers do: a port whose last connections are still closing is no hindrance.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
            raise CommandError(f"port {port} cannot be used: {error.strerror}") from error
    return False
