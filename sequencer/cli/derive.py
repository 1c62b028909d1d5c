"""`sequencer derive`: rebuilds the namespaces' chains from the L1, and asks nodes only for what is held off it.

Responsible for: where the genesis, the addresses and the blocks come from and go to, and what is told meanwhile.
Refuses to do: rebuild (`sequencer/derive`).

Invariants:
1. A line is in the bytes that `sequencer namespace follow --json` prints for the same block.
2. With --output a file appears under its name only when everything was read; until then it ends in `.part`.
3. Certified content that is wrong does not end the command, but it ends with exit code 1.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Literal

import typer

from sequencer.cli.errors import CommandError, UsageFault
from sequencer.cli.options import HomeOption, read_namespace_id
from sequencer.cli.output import json_line, print_text, say

if TYPE_CHECKING:
    from consensus.genesis import Genesis
    from consensus.numbers import NamespaceId
    from sequencer.derive.namespace_blocks import DerivedBlock
    from sequencer.derive.reading import Progress
    from sequencer.l1.json_rpc import L1Client

L1_TIMEOUT_S = 60.0
TELL_SECONDS = 1.0
_ADDRESS_DIGITS = 40


@dataclass(frozen=True, slots=True)
class Task:
    """Everything that the command line or a home's configuration says."""

    chain: "Genesis"
    l1_url: str
    inbox: bytes
    nodes: tuple[str, ...]
    namespaces: "frozenset[NamespaceId]"  # none: all
    from_block: int | None  # none: where the Inbox was deployed
    finalized: bool
    output: Path | None


def derive(  # noqa: PLR0913, PLR0917 (options of a command line)
    home: HomeOption,
    genesis: Annotated[Path | None, typer.Option("--genesis", help="Genesis file of the chain.")] = None,
    l1: Annotated[str | None, typer.Option("--l1", metavar="URL", help="JSON-RPC endpoint of an L1 node.")] = None,
    inbox: Annotated[str | None, typer.Option("--inbox", metavar="0x…", help="Address of the Inbox contract.")] = None,
    node: Annotated[
        list[str] | None,
        typer.Option("--node", metavar="URL", help="Node to ask for data that is held off the L1; may be repeated."),
    ] = None,
    namespace: Annotated[
        list[str] | None, typer.Option("--namespace", metavar="ID", help="Only this rollup; may be repeated.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="DIR", help="Write DIR/ID.jsonl per rollup; else print all.")
    ] = None,
    from_block: Annotated[
        int | None,
        typer.Option("--from-block", min=0, metavar="N", help="L1 block to begin at; else where the Inbox began."),
    ] = None,
    finalized: Annotated[
        bool, typer.Option("--finalized/--latest", help="Read up to the L1's finalized or to its newest block.")
    ] = True,
) -> None:
    """Rebuild the rollups' blocks from the L1 alone, checking every signature.

    Genesis, L1, Inbox and node come from the configuration in --home where they are not given.
    """
    import trio

    task = _task(home, (genesis, l1, inbox), tuple(node or ()), namespace or [], output, from_block, finalized)
    with ExitStack() as stack:
        files = None if output is None else stack.enter_context(_Files(output))
        write = _print_line if files is None else files.write
        has_faults = trio.run(_run, task, write)
        if files is not None:
            files.finish(task.namespaces)
    if has_faults:
        raise CommandError("a quorum of the validators has signed what is wrong (see above); the rest was rebuilt")


def _task(
    home: Path,
    named: tuple[Path | None, str | None, str | None],
    nodes: tuple[str, ...],
    namespaces: list[str],
    output: Path | None,
    from_block: int | None,
    finalized: bool,
) -> Task:
    from sequencer.keys.genesis_file import load_genesis
    from sequencer.node.config import config_file_path

    genesis, l1, inbox = named
    if None in named and config_file_path(home).exists():
        from sequencer.cli.connection import find_node
        from sequencer.node.config_loading import load_config

        config = load_config(home)
        genesis, l1, inbox = genesis or config.genesis_file, l1 or config.l1.url, inbox or config.l1.inbox
        nodes = nodes or ((find_node(None, home).url,) if config.rpc.port else ())
    missing = [option for option, value in (("--genesis", genesis), ("--l1", l1), ("--inbox", inbox)) if not value]
    if genesis is None or not l1 or not inbox:
        raise UsageFault(f"{' and '.join(missing)} missing, and {home} has no configuration that says so")
    for option, address in (("--l1", l1), *(("--node", address) for address in nodes)):
        if not address.startswith(("http://", "https://")):
            raise UsageFault(f"{option} {address}: an address starts with http:// or https://")
    chain = load_genesis(genesis)
    wanted = frozenset(read_namespace_id(text) for text in namespaces)
    unknown = sorted(wanted - chain.namespace_ids())
    if unknown:
        raise UsageFault(f"--namespace {unknown[0]}: the genesis has no such rollup")
    return Task(chain, l1, _read_address(inbox), nodes, wanted, from_block, finalized, output)


def _read_address(text: str) -> bytes:
    digits = text.removeprefix("0x")
    if len(digits) != _ADDRESS_DIGITS or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        raise UsageFault(f"--inbox {text}: 0x and {_ADDRESS_DIGITS} hex digits are wanted")
    return bytes.fromhex(digits)


async def _run(task: Task, write: Callable[["NamespaceId", str], None]) -> bool:
    """Rebuilds and writes; returns whether there were faults."""
    from contextlib import aclosing

    from sequencer.cli.block_lines import block_to_json
    from sequencer.derive.batches import BatchDeriver
    from sequencer.derive.held import open_held_payloads
    from sequencer.derive.reading import derive_all
    from sequencer.l1.inbox import Inbox
    from sequencer.l1.json_rpc import L1Client

    def emit(derived: "DerivedBlock") -> None:
        block = derived.block
        if not task.namespaces or block.namespace in task.namespaces:
            fields = block_to_json(block, derived.hash, derived.transactions, proved=True)
            write(block.namespace, json_line(fields))

    teller = _Teller()
    async with L1Client(task.l1_url, timeout_s=L1_TIMEOUT_S) as client, open_held_payloads(task.nodes) as payloads:
        contract = Inbox(client, task.inbox)
        await contract.require_chain(task.chain)
        first = await contract.first_block() if task.from_block is None else task.from_block
        l1_blocks = range(first, await _last_block(client, first, task.finalized) + 1)
        deriver = BatchDeriver(task.chain, task.inbox)
        async with aclosing(derive_all(deriver, client, contract, payloads, l1_blocks, emit)) as steps:
            async for progress in steps:
                teller.tell(progress)
    teller.end(l1_blocks[-1], "finalized" if task.finalized else "latest")
    return teller.has_faults


async def _last_block(client: "L1Client", first: int, finalized: bool) -> int:
    tag: Literal["finalized", "latest"] = "finalized" if finalized else "latest"
    block = await client.block(tag)
    if block is None or block.number < first:
        hint = "; --latest reads up to the newest one" if finalized else ""
        raise CommandError(f"the L1 has no {tag} block from {first} on yet{hint}")
    return block.number


class _Teller:
    """Says how far it is, at most once a second, and every fault."""

    def __init__(self) -> None:
        self.has_faults = False
        self._blocks = 0
        self._batches = 0
        self._height = 0
        self._told_at: float | None = None

    def tell(self, progress: "Progress") -> None:
        import trio

        if progress.derived is not None:
            batch = progress.derived.batch
            self._blocks += progress.derived.block_count
            self._batches, self._height = batch.index, batch.last
            for fault in progress.derived.faults:
                self.has_faults = True
                say(f"batch {batch.index}: {fault.kind}: {fault.detail} ({fault.count} such)")
        if self._told_at is None or trio.current_time() >= self._told_at + TELL_SECONDS:
            self._told_at = trio.current_time()
            say(
                f"L1 block {progress.l1_block} of {progress.last_l1_block}, batch {progress.next_index - 1} of "
                f"{progress.batch_count}, height {self._height}"
            )

    def end(self, l1_block: int, tag: str) -> None:
        say(
            f"{self._batches} batches up to height {self._height}, {self._blocks} namespace blocks; "
            f"read up to L1 block {l1_block} ({tag})"
        )


def _print_line(_namespace: "NamespaceId", line: str) -> None:
    print_text(line)


class _Files:
    """One file per namespace in a directory; one is open at a time, since blocks come namespace by namespace."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._begun: set[NamespaceId] = set()
        self._open: tuple[NamespaceId, IO[str]] | None = None

    def __enter__(self) -> "_Files":
        self._directory.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def write(self, namespace: "NamespaceId", line: str) -> None:
        """Appends a line to the namespace's file."""
        if self._open is None or self._open[0] != namespace:
            self._close()
            mode = "a" if namespace in self._begun else "w"
            self._open = (namespace, self._path(namespace, ".part").open(mode, encoding="utf-8"))
            self._begun.add(namespace)
        self._open[1].write(line + "\n")

    def finish(self, namespaces: "frozenset[NamespaceId]") -> None:
        """Gives the files their names. Each of `namespaces` has one, if only an empty one."""
        self._close()
        for namespace in sorted(namespaces - self._begun):
            self._path(namespace, ".part").write_bytes(b"")
        for namespace in sorted(self._begun | namespaces):
            self._path(namespace, ".part").replace(self._path(namespace))

    def _close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def _path(self, namespace: "NamespaceId", ending: str = "") -> Path:
        return self._directory / f"{namespace}.jsonl{ending}"
