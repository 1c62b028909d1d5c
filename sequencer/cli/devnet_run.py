"""Runs a devnet whose homes are made: starts its L1 and the validators, says when they answer, watches, stops them.

Responsible for: the life of the processes, `devnet.json`, the banner and the status line.
Refuses to do: make or change homes (`devnet.py`).

Invariants:
1. `devnet.json` stands only while the network runs, and is written once every running validator is ready.
2. A process that dies is reported once, with the end of its log; the others go on, unless too few validators are left
   to begin.
3. When `run` returns, no process is left, however it came to return. The validators are stopped first, then the L1.
"""

import json
import shlex
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from sequencer.cli.children import POLL_S as CHILD_POLL_S
from sequencer.cli.children import Child, ChildProcess, start_child, stop_children, wait_ended
from sequencer.cli.devnet_l1 import DevnetL1, L1Choice
from sequencer.cli.devnet_status import Figures, fetch_figures, fetch_readiness, new_client, status_line
from sequencer.cli.errors import CommandError, ExitCode
from sequencer.cli.homes import RUNNING_NAME, NetworkSummary, validator_home, write_whole
from sequencer.cli.output import print_text, printable, say
from sequencer.cli.ports import LOOPBACK, ValidatorPorts
from sequencer.cli.terminal import Terminal
from sequencer.keys.genesis_file import load_genesis
from sequencer.keys.peer_id import peer_id_text

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_READY_POLL_S = 0.2
_STATUS_INTERVAL_S = 1.0
_PLAIN_STATUS_INTERVAL_S = 10.0  # a log file needs no line a second
_PROGRESS_INTERVAL_S = 3.0
_NAMESPACES_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Network:
    """A network whose homes are made."""

    directory: Path
    summary: NetworkSummary
    ports: tuple[ValidatorPorts, ...]
    l1: L1Choice | None = None

    def homes(self) -> list[Path]:
        """All validators' homes."""
        return [self.home(index) for index in range(self.summary.validators)]

    def home(self, index: int) -> Path:
        """A validator's home."""
        return validator_home(self.directory, index)

    def rpc_url(self, index: int) -> str:
        """A validator's RPC address."""
        return f"http://{LOOPBACK}:{self.ports[index].rpc}"

    def metrics_url(self, index: int) -> str:
        """A validator's metrics page."""
        return f"http://{LOOPBACK}:{self.ports[index].metrics}/metrics"


def run(network: Network, ready_timeout_s: float) -> int:
    """Runs the network until a signal ends it. Returns the exit code; raises `CommandError` if it did not come up."""
    return trio.run(_run, network, ready_timeout_s)


async def _run(network: Network, ready_timeout_s: float) -> int:
    terminal = Terminal()
    children: list[Child] = []
    l1 = None if network.l1 is None else DevnetL1(network.directory, network.homes(), network.l1)
    # Under nohup SIGHUP is ignored, and stays so.
    watched = [number for number in _STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    with trio.open_signal_receiver(*watched) as signals:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_stop_on_signal, signals, nursery.cancel_scope)
                if l1 is not None:
                    await l1.start(terminal.say)
                    nursery.start_soon(l1.keep)
                    if l1.process is not None:
                        nursery.start_soon(_report_end, l1.process, terminal)
                for index in range(network.summary.validators):
                    # In the main thread, not a worker: the kernel ties a child to the thread that forked it.
                    children.append(start_child(index, network.home(index)))
                    nursery.start_soon(_report_end, children[-1], terminal)
                await _wait_ready(network, children, terminal, ready_timeout_s)
                write_whole(network.directory / RUNNING_NAME, _describe(network, children, l1))
                terminal.clear()
                print_text(_banner(network, l1))
                await _show_status(network, children, terminal)
        finally:
            terminal.clear()
            (network.directory / RUNNING_NAME).unlink(missing_ok=True)
            with trio.CancelScope(shield=True):
                await _stop(children, l1, signals)
    return ExitCode.SUCCESS


async def _stop(children: Sequence[Child], l1: DevnetL1 | None, signals: AsyncIterator[int]) -> None:
    if children:
        say("stopping the validators (a second signal kills them)")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_on_signal, signals, nursery.cancel_scope)
        killed = await stop_children(children)
        if l1 is not None:
            killed += await l1.stop()
        for child in killed:
            say(f"{child.name} did not stop in time and was killed")
        nursery.cancel_scope.cancel()


async def _stop_on_signal(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()
        return


async def _report_end(child: ChildProcess, terminal: Terminal) -> None:
    await wait_ended(child)
    terminal.say(f"{child.name} {child.describe_end()}. The end of {child.log_file}:")
    for line in child.last_log_lines():
        terminal.say(f"  | {printable(line)}")


async def _wait_ready(network: Network, children: Sequence[Child], terminal: Terminal, timeout_s: float) -> None:
    """Returns once every running validator is ready. Raises `CommandError` when that cannot happen any more."""
    quorum = 2 * len(children) // 3 + 1
    deadline, next_line = trio.current_time() + timeout_s, trio.current_time() + _PROGRESS_INTERVAL_S
    async with new_client() as client:
        while True:
            running = [child for child in children if child.is_running]
            if len(running) < quorum:
                await trio.sleep(2 * CHILD_POLL_S)  # the reports of those that died come first
                raise CommandError(f"{len(running)} of {len(children)} validators are running, {quorum} are needed")
            states = {child.index: await fetch_readiness(client, network.rpc_url(child.index)) for child in running}
            waiting = [f"validator-{index}: {reason}" for index, (is_ready, reason) in states.items() if not is_ready]
            if not waiting:
                return
            line = f"{len(running) - len(waiting)} of {len(children)} validators ready; {'; '.join(waiting)}"
            if trio.current_time() > deadline:
                raise CommandError(f"after {timeout_s:g} s {line} (logs: {network.directory}/validator-*/node.log)")
            if terminal.is_live or trio.current_time() >= next_line:
                terminal.show(printable(line))
                next_line = trio.current_time() + _PROGRESS_INTERVAL_S
            await trio.sleep(_READY_POLL_S)


async def _show_status(network: Network, children: Sequence[Child], terminal: Terminal) -> None:
    """Shows figures until it is cancelled. Raises `CommandError` when no validator is left."""
    interval_s = _STATUS_INTERVAL_S if terminal.is_live else _PLAIN_STATUS_INTERVAL_S
    before: tuple[int, float, Figures] | None = None
    async with new_client() as client:
        while True:
            running = [child for child in children if child.is_running]
            if not running:
                await trio.sleep(2 * CHILD_POLL_S)
                raise CommandError("no validator is left")
            source = running[0].index
            figures, now = await fetch_figures(client, network.metrics_url(source)), trio.current_time()
            if figures is None:
                terminal.show(f"validator-{source} does not answer")
            else:
                same = before if before is not None and before[0] == source else None
                elapsed_s = now - same[1] if same else 0.0
                terminal.show(status_line(figures, same[2] if same else None, elapsed_s, len(running), len(children)))
                before = (source, now, figures)
            await trio.sleep(interval_s)


def _describe(network: Network, children: Sequence[Child], l1: DevnetL1 | None) -> str:
    """The content of `devnet.json`."""
    genesis = load_genesis(network.home(0) / "config" / "genesis.toml")
    validators = [
        {
            "index": child.index,
            "name": f"validator-{child.index}",
            "home": str(network.home(child.index)),
            "pid": child.process.pid if child.is_running else None,
            "rpc": network.rpc_url(child.index),
            "metrics": network.metrics_url(child.index),
            "peer_id": peer_id_text(genesis.validators[child.index].node_public_key),
        }
        for child in children
    ]
    description: dict[str, object] = {
        "chain_id": network.summary.chain_id,
        "genesis_hash": f"0x{genesis.chain_id.hex()}",
        "validators": validators,
        "l1": None if l1 is None else l1.describe(),
        "contracts": {} if l1 is None else l1.contracts(),
        "namespaces": [{"id": number, "name": name} for number, name in network.summary.namespaces],
        "accounts": [],
    }
    return json.dumps(description, indent=2) + "\n"


def _own_command() -> str:
    """How to call us from the same shell: `make devnet` runs a command that is not on the PATH."""
    return "sequencer" if shutil.which("sequencer") or Path(sys.argv[0]).name != "sequencer" else sys.argv[0]


def _banner(network: Network, l1: DevnetL1 | None) -> str:
    namespaces = network.summary.namespaces
    namespace = namespaces[0][0] if namespaces else 0
    request = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "seq_sendTransaction",
        "params": {"namespace": namespace, "data": "0x" + b"hello".hex()},
    }
    home, command = shlex.quote(str(network.home(0))), _own_command()
    lines = ["", f"  Chain {network.summary.chain_id}", ""]
    for index in range(network.summary.validators):
        lines.append(f"  validator-{index}   RPC {network.rpc_url(index)}   metrics {network.metrics_url(index)}")
    if l1 is not None:
        lines.append(f"  L1            RPC {l1.describe()['rpc']}   Inbox {l1.contracts()['inbox']}")
    lines += ["", *(f"  namespace {number}   {name}" for number, name in namespaces[:_NAMESPACES_SHOWN])]
    if len(namespaces) > _NAMESPACES_SHOWN:
        lines.append(f"  and {len(namespaces) - _NAMESPACES_SHOWN:,} more namespaces")
    if namespaces:
        lines += [
            "",
            "  Send a transaction:",
            f"    curl -s {network.rpc_url(0)} -H 'content-type: application/json' -d '{json.dumps(request)}'",
            f"    {command} tx send {namespace} --text hello --wait final --home {home}",
            "  Follow a namespace, with every proof checked:",
            f"    {command} namespace follow {namespace} --home {home}",
        ]
    lines += ["", f"  Logs: {network.directory}/validator-*/node.log   Details: {network.directory / RUNNING_NAME}"]
    lines += ["  Ctrl-C stops the network; the next start carries on from here.", ""]
    return "\n".join(lines)
