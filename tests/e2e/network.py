"""A network of real `sequencer start` processes that a test may kill, pause, resume and restart.

Each network listens on a loopback address of its own (127.x.y.z), so that a port stays its node's while the node is
down: neither another test nor an outgoing connection of anybody else can take it.

A deadline here only ends a test that has failed; how long something takes is never what is tested.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import trio

from consensus.genesis import Genesis
from consensus.namespace_terms import NamespaceTerms
from sequencer.cli.homes import DEVNET_ANCHOR_STEP, NetworkPlan, make_network, validator_home
from sequencer.client.client import SequencerClient
from sequencer.client.errors import ClientError
from sequencer.keys.genesis_file import load_genesis

COMMAND = (sys.executable, "-m", "sequencer.cli")
PATIENCE_S = 120.0
POLL_S = 0.05
NAMESPACES = ((1001, "alpha"), (1002, "beta"))


def environment() -> dict[str, str]:
    """Ours without options of a node."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SEQUENCER_")}


def note(line: str) -> None:
    """Says something in the test's output: seen when the test fails, or with -s."""
    sys.stdout.write(f"{line}\n")


async def until(condition: Callable[[], Awaitable[Any] | Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """Waits for something that has to come true, and returns it. Client errors count as not yet."""
    deadline = trio.current_time() + patience_s
    last: object = None
    while trio.current_time() < deadline:
        try:
            value = condition()
            last = await value if isinstance(value, Awaitable) else value
        except ClientError as error:
            last = error
        else:
            if last:
                return last
        await trio.sleep(POLL_S)
    raise AssertionError(f"never happened: {what} (last seen: {last!r})")


def own_loopback_address() -> str:
    """An address of the loopback net that nobody else is likely to use; 127.0.0.1 where there is only that."""
    address = f"127.{1 + secrets.randbelow(254)}.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"
    try:
        free_ports(address, 1)
    except OSError:
        return "127.0.0.1"
    return address


def free_ports(host: str, count: int) -> list[int]:
    """Ports that are free now, all different: each is held until all are chosen."""
    listeners = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for listener in listeners:
            listener.bind((host, 0))
        return [int(listener.getsockname()[1]) for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()


class Node:
    """One validator: its home, its addresses, and the process that runs it now, if any."""

    def __init__(self, index: int, home: Path, chain: Genesis, host: str, ports: Sequence[int]) -> None:
        self.index = index
        self.home = home
        self.chain = chain
        self.host = host
        self.p2p_port, self.rpc_port, self.metrics_port = ports
        self.url = f"http://{host}:{self.rpc_port}"
        self.metrics_url = f"http://{host}:{self.metrics_port}"
        self.output = home.with_name(f"{home.name}.out")
        self.command: Sequence[str] = COMMAND
        self._output_start = 0
        self._process: subprocess.Popen[bytes] | None = None

    # processes

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process that was started last."""
        assert self._process is not None, f"validator {self.index} was never started"
        return self._process

    @property
    def is_running(self) -> bool:
        """Whether there is a process that has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self, *arguments: str) -> None:
        """Starts `sequencer start`; the kernel kills it with us."""
        assert not self.is_running, f"validator {self.index} runs"
        with self.output.open("ab") as output:
            self._output_start = output.tell()
            self._process = subprocess.Popen(
                [*self.command, "start", "--home", str(self.home), "--parent-pid", str(os.getpid()), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment(),
                start_new_session=True,
            )

    def kill(self) -> None:
        """SIGKILL, and gone when this returns."""
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """SIGSTOP: the process is there and does nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    async def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.terminate()
        return await self.until_ended()

    async def until_ended(self, patience_s: float = PATIENCE_S) -> int:
        """Waits for the process to end by itself; returns the exit code."""
        await until(lambda: not self.is_running, f"validator {self.index} ends", patience_s)
        code: int = self.process.poll()  # type: ignore[assignment]
        return code

    # what it says

    def said(self) -> str:
        """What the process that was started last has written."""
        with self.output.open("rb") as output:
            output.seek(self._output_start)
            return output.read().decode(errors="replace")

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log lines of one event, of the process that was started last."""
        lines = [line for line in self.said().splitlines() if line.startswith("{")]
        return [entry for entry in map(json.loads, lines) if entry.get("event") == name]

    # what it answers

    def client(self, timeout_s: float = 20.0) -> SequencerClient:
        """A client of this node that verifies."""
        return SequencerClient(self.url, genesis=self.chain, timeout_s=timeout_s)

    async def until_ready(self) -> None:
        """Waits for a node that runs to be ready."""
        async with self.client() as client:

            async def is_ready() -> bool:
                assert self.is_running, (
                    f"validator {self.index} ended with {self.process.poll()}: {self.said()[-4000:]}"
                )
                return not await client.readiness()

            await until(is_ready, f"validator {self.index} is ready")


class Network:
    """Validators made together."""

    def __init__(
        self,
        directory: Path,
        count: int = 4,
        *,
        settings: Mapping[str, Any] | None = None,
        namespaces: Sequence[tuple[int, str]] = NAMESPACES,
        terms: Mapping[int, NamespaceTerms] | None = None,
        l1_chain_id: int = 0,
        hosts: Sequence[str] = (),
    ) -> None:
        """Makes the homes; nothing runs yet. `settings` are set in every configuration file.

        `hosts`: the address of each validator's own host, in place of one loopback address for all.
        """
        self.directory = directory
        own_address = own_loopback_address()
        hosts = hosts or [own_address] * count
        numbers = free_ports(own_address, 3 * count)
        ports = [tuple(numbers[place : place + 3]) for place in range(0, 3 * count, 3)]
        peers = [{"index": index, "address": f"{hosts[index]}:{p2p}"} for index, (p2p, _, _) in enumerate(ports)]
        of_all = []
        for index, (p2p, rpc, metrics) in enumerate(ports):
            own = {
                "preset": "devnet",
                **{f"{section}.host": hosts[index] for section in ("p2p", "rpc", "metrics")},
                "p2p.port": p2p,
                "rpc.port": rpc,
                "metrics.port": metrics,
                "p2p.peers": [peer for peer in peers if peer["index"] != index],
            }
            of_all.append({**own, **(settings or {})})
        make_network(
            directory, NetworkPlan("e2e", namespaces, of_all, DEVNET_ANCHOR_STEP, l1_chain_id, terms=terms or {})
        )
        self.chain = load_genesis(validator_home(directory, 0) / "config" / "genesis.toml")
        self.nodes = [
            Node(index, validator_home(directory, index), self.chain, hosts[index], ports[index])
            for index in range(count)
        ]

    def start(self, *indices: int) -> list[Node]:
        """Starts some validators, or all."""
        chosen = [self.nodes[index] for index in indices] if indices else self.nodes
        for node in chosen:
            node.start()
        return chosen

    async def until_ready(self, nodes: Sequence[Node] | None = None) -> None:
        """Waits for some validators, or all, to be ready."""
        for node in self.nodes if nodes is None else nodes:
            await node.until_ready()

    async def stop(self) -> None:
        """SIGTERM to all that run; each must end in order."""
        running = [node for node in self.nodes if node.is_running]
        for node in running:
            node.process.terminate()
        codes = {node.index: await node.until_ended() for node in running}
        assert set(codes.values()) <= {0}, codes

    def end(self) -> None:
        """For the end of a test, however it came: nothing is left running; the ends of the logs go to the report."""
        for node in self.nodes:
            if node.is_running:
                node.resume()
                node.kill()
        for node in self.nodes:
            if node.output.exists():
                note(f"--- validator {node.index}, the end of its output")
                note("\n".join(node.output.read_text(errors="replace").splitlines()[-40:]))


def is_taken(host: str, port: int) -> bool:
    """Whether something listens there."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        return probe.connect_ex((host, port)) == 0
