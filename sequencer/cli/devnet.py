"""`sequencer devnet`: a whole network on this machine with one command.

Responsible for: reading the command line, and making the network's homes or carrying on with those that are there.
Refuses to do: run the validators (`devnet_run.py`).

Invariants:
1. One devnet per directory: it holds a lock on DIR/LOCK while it runs.
2. What is there is never changed silently: other validators or namespaces than asked for are an error with the remedy.
   Only the ports, and the address of an L1 that is not its own, may change between two starts.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from consensus.limits import NAMESPACES_MAX
from sequencer.cli.errors import UsageFault
from sequencer.cli.options import (
    L1DataOption,
    SetOption,
    TermsOption,
    read_l1_data,
    read_namespace,
    read_settings,
    read_terms,
)
from sequencer.cli.output import say

if TYPE_CHECKING:
    from consensus.namespace_terms import NamespaceTerms
    from sequencer.cli.devnet_l1 import L1Choice
    from sequencer.cli.devnet_run import Network
    from sequencer.cli.homes import NetworkSummary
    from sequencer.cli.ports import ValidatorPorts

DEFAULT_BASE_PORT = 9000
DEFAULT_VALIDATORS = 4
DEFAULT_NAMESPACES = ((1001, "alpha"), (1002, "beta"))


def devnet(  # noqa: PLR0913, PLR0917 (options of a command line)
    home: Annotated[Path, typer.Option("--home", metavar="DIR", help="Directory of the network.")] = Path(".devnet"),
    validators: Annotated[
        int | None, typer.Option("--validators", metavar="N", help="How many validators; 4 for a new network.")
    ] = None,
    base_port: Annotated[
        int | None,
        typer.Option(
            "--base-port",
            metavar="PORT",
            help="Validator i listens on PORT + 10 i (p2p), + 2 (RPC) and + 3 (metrics), the L1 on PORT + 900. "
            "9000; 0 picks free ports.",
        ),
    ] = None,
    l1: Annotated[
        str | None,
        typer.Option(
            "--l1",
            metavar="anvil|URL|none",
            help="The L1: an anvil of its own, which is the default, another one, or none.",
        ),
    ] = None,
    l1_data: L1DataOption = None,
    namespace: Annotated[
        list[str] | None,
        typer.Option("--namespace", metavar="ID:NAME", help="A rollup; may be repeated. 1001:alpha and 1002:beta."),
    ] = None,
    namespaces: Annotated[
        int | None,
        typer.Option("--namespaces", metavar="N", help="So many rollups instead, from 1001 on."),
    ] = None,
    terms: TermsOption = None,
    settings: SetOption = None,
    reset: Annotated[bool, typer.Option("--reset", help="Remove what is there and make a new network.")] = False,
    ready_timeout_s: Annotated[
        float, typer.Option("--ready-timeout", min=1, metavar="SECONDS", help="How long to wait for the validators.")
    ] = 120.0,
) -> None:
    """Run a development network on this machine.

    It stays in the foreground until Ctrl-C. A second start in the same directory carries on from what is there.
    """
    from sequencer.cli import devnet_run
    from sequencer.cli.homes import RUNNING_NAME, remove_network

    home = home.absolute()
    wanted = tuple(sorted(read_namespace(entry) for entry in namespace)) if namespace else None
    if namespaces is not None:
        wanted = _numbered(namespaces, wanted)
    with locked(home):
        (home / RUNNING_NAME).unlink(missing_ok=True)  # of a devnet that was killed: nobody may read it as ours
        if reset:
            remove_network(home)
        given = None
        if terms:
            given = read_terms(terms, (number for number, _ in wanted or DEFAULT_NAMESPACES))
        wishes = Wishes(validators, wanted, base_port, l1, l1_data, read_settings(None, settings), given)
        network = prepare(home, wishes)
        raise typer.Exit(devnet_run.run(network, ready_timeout_s))


def _numbered(count: int, named: tuple[tuple[int, str], ...] | None) -> tuple[tuple[int, str], ...]:
    """Rollups that differ by their number alone. Raises `UsageFault`."""
    if named is not None:
        raise UsageFault("--namespace and --namespaces: one of them is wanted")
    if not 1 <= count <= NAMESPACES_MAX:
        raise UsageFault(f"--namespaces {count}: 1 to {NAMESPACES_MAX} are possible")
    first = DEFAULT_NAMESPACES[0][0]
    return tuple((number, f"rollup-{number}") for number in range(first, first + count))


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Holds DIR/LOCK. Raises `UsageFault` if another devnet has it."""
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.read(descriptor, 32).decode(errors="replace").strip()
            raise UsageFault(
                f"a devnet runs in {directory} already (process {owner or 'unknown'}); stop it, or use another --home"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line asks for; `None`: as it is there, or the default."""

    validators: int | None = None
    namespaces: tuple[tuple[int, str], ...] | None = None
    base_port: int | None = None
    l1: str | None = None
    l1_data: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    terms: "Mapping[int, NamespaceTerms] | None" = None


def prepare(home: Path, wishes: Wishes) -> "Network":
    """Makes the homes, or checks those that are there against what was asked for; their files hold the ports then."""
    from consensus.namespace_terms import DEFAULT_TERMS
    from sequencer.cli.devnet_l1 import choose_for_existing
    from sequencer.cli.devnet_run import Network
    from sequencer.cli.homes import load_summary, require_validator_count, validator_home
    from sequencer.keys.genesis_file import L1_DATA_NAMES, load_genesis

    summary = load_summary(home)
    count = wishes.validators
    if count is None:
        count = summary.validators if summary else DEFAULT_VALIDATORS
    require_validator_count(count)
    if summary is None:
        return _make(home, count, wishes)
    _require_same(home, summary, count, wishes.namespaces)
    genesis = load_genesis(validator_home(home, 0) / "config" / "genesis.toml")
    if wishes.l1_data is not None and read_l1_data(wishes.l1_data) != genesis.parameters.l1_data:
        raise UsageFault(
            f"the network in {home} was made with --l1-data {L1_DATA_NAMES[genesis.parameters.l1_data]}; leave it out "
            "to carry on with it, or add --reset to remove it and make a new one"
        )
    if wishes.terms is not None and wishes.terms != {
        namespace.id: namespace.terms for namespace in genesis.namespaces if namespace.terms != DEFAULT_TERMS
    }:
        raise UsageFault(
            f"the network in {home} was made with other --terms; leave them out to carry on with it, or add --reset to "
            "remove it and make a new one"
        )
    l1 = choose_for_existing(wishes.l1, home, genesis.l1_chain_id, wishes.base_port, count)
    say(f"carrying on with the network in {home}")
    return Network(home, summary, tuple(_carry_on(home, count, wishes.base_port, wishes.settings)), l1)


def _make(home: Path, count: int, wishes: Wishes) -> "Network":
    from sequencer.cli.devnet_l1 import choose_for_new
    from sequencer.cli.devnet_run import Network
    from sequencer.cli.homes import DEVNET_ANCHOR_STEP, NetworkPlan, make_network
    from sequencer.keys.genesis_file import L1_DATA_NAMES

    base_port = DEFAULT_BASE_PORT if wishes.base_port is None else wishes.base_port
    l1 = choose_for_new(wishes.l1, base_port, count)
    ports = _choose_ports(base_port, count, l1)
    plan = NetworkPlan(
        "devnet",
        wishes.namespaces or DEFAULT_NAMESPACES,
        [{"preset": "devnet", **_settings(ports, index, wishes.settings)} for index in range(count)],
        DEVNET_ANCHOR_STEP,
        0 if l1 is None else l1.chain_id,
        read_l1_data(wishes.l1_data or L1_DATA_NAMES[0]),
        wishes.terms or {},
    )
    say(f"making {count} validators in {home}")
    return Network(home, make_network(home, plan), tuple(ports), l1)


def _require_same(
    home: Path, summary: "NetworkSummary", count: int, namespaces: tuple[tuple[int, str], ...] | None
) -> None:
    if count != summary.validators:
        raise UsageFault(
            f"the network in {home} has {summary.validators} validators, not {count}; leave --validators out to carry "
            "on with it, or add --reset to remove it and make a new one"
        )
    if namespaces is not None and namespaces != tuple(sorted(summary.namespaces)):
        there = ", ".join(f"{number}:{name}" for number, name in summary.namespaces)
        raise UsageFault(
            f"the network in {home} has the namespaces {there}; leave --namespace out to carry on with it, or add "
            "--reset to remove it and make a new one"
        )


def _choose_ports(base_port: int, count: int, l1: "L1Choice | None" = None) -> list["ValidatorPorts"]:
    from sequencer.cli.ports import free_ports, ports_from_base, require_free

    if base_port == 0:
        return free_ports(count)
    ports = ports_from_base(base_port, count)
    require_free(ports, (l1.port,) if l1 is not None and l1.port else ())
    return ports


def _carry_on(home: Path, count: int, base_port: int | None, settings: Mapping[str, Any]) -> list["ValidatorPorts"]:
    """The ports of an existing network: as they are, or as asked for, in which case the files are written again."""
    from sequencer.cli.homes import validator_home, write_home
    from sequencer.cli.ports import ValidatorPorts, require_free, taken_ports
    from sequencer.node.config_loading import load_config, values_in_file

    there = []
    for index in range(count):
        config = load_config(validator_home(home, index))
        there.append(ValidatorPorts(config.p2p.port, config.rpc.port, config.metrics.port))
    if base_port is None or (base_port == 0 and not taken_ports(there)):
        require_free(there)
        ports = there
    else:
        ports = _choose_ports(base_port, count)
    if ports != there or settings:
        for index in range(count):
            own_home = validator_home(home, index)
            write_home(own_home, {**values_in_file(own_home), **_settings(ports, index, settings)}, None)
    return ports


def _settings(ports: list["ValidatorPorts"], own: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    from sequencer.cli.ports import LOOPBACK

    return {
        "p2p.port": ports[own].p2p,
        "p2p.peers": [
            {"index": index, "address": f"{LOOPBACK}:{entry.p2p}"} for index, entry in enumerate(ports) if index != own
        ],
        "rpc.port": ports[own].rpc,
        "metrics.port": ports[own].metrics,
        **settings,
    }
