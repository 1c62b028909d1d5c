"""`sequencer testnet`: the files of a network whose validators run on machines or containers of their own."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sequencer.cli.errors import UsageFault
from sequencer.cli.options import (
    JsonOption,
    L1DataOption,
    PresetOption,
    SetOption,
    TermsOption,
    read_l1_data,
    read_namespace,
    read_settings,
    read_terms,
)
from sequencer.cli.output import print_fields, print_json, say

if TYPE_CHECKING:
    from sequencer.cli.homes import NetworkPlan, NetworkSummary

DEFAULT_NAMESPACES = ((1001, "alpha"), (1002, "beta"))
P2P_PORT = 9000


def make_testnet(  # noqa: PLR0913, PLR0917 (options of a command line)
    output: Annotated[Path, typer.Option("--output", help="Directory for the homes; made if missing.")],
    validators: Annotated[int, typer.Option("--validators", help="How many validators.")] = 4,
    address: Annotated[
        list[str] | None,
        typer.Option(
            "--address",
            metavar="HOST[:PORT]",
            help="Where a validator is reached by the others, once for each; validator-0:9000 and so on if not given.",
        ),
    ] = None,
    namespace: Annotated[
        list[str] | None,
        typer.Option("--namespace", metavar="ID:NAME", help="A rollup; may be repeated. 1001:alpha and 1002:beta."),
    ] = None,
    terms: TermsOption = None,
    name: Annotated[str, typer.Option("--name", help="The chain's name.")] = "testnet",
    l1_chain_id: Annotated[
        int,
        typer.Option("--l1-chain-id", min=0, max=2**64 - 1, help="Chain id of the L1 to commit to; 0: none."),
    ] = 0,
    l1_data: L1DataOption = None,
    preset: PresetOption = None,
    settings: SetOption = None,
    if_absent: Annotated[bool, typer.Option("--if-absent", help="Leave a network that is there as it is.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make the files of a whole network.

    Keys, genesis and configuration of every validator, and a compose file that runs them. Their RPC and metrics listen
    on all addresses: protect them, or set rpc.host and metrics.host.
    """
    from sequencer.cli.homes import NetworkPlan, load_summary, require_validator_count, validator_home

    require_validator_count(validators)
    summary = load_summary(output)
    if summary is not None and not if_absent:
        raise UsageFault(f"{output} holds a network already; name another directory")
    if summary is None:
        namespaces = [read_namespace(entry) for entry in namespace] if namespace else DEFAULT_NAMESPACES
        settings_of_all = _settings_of_all(_addresses(address, validators), read_settings(preset, settings))
        given = read_terms(terms, (number for number, _ in namespaces))
        plan = NetworkPlan(name, namespaces, settings_of_all, l1_chain_id=l1_chain_id, terms=given)
        summary = _make(output, plan if l1_data is None else replace(plan, l1_data=read_l1_data(l1_data)))
    fields: dict[str, Any] = {
        "name": summary.name,
        "chain_id": summary.chain_id,
        "homes": [str(validator_home(output, index)) for index in range(summary.validators)],
    }
    if as_json:
        print_json(fields)
    else:
        print_fields({**fields, "homes": " ".join(fields["homes"])})


def _make(output: Path, plan: "NetworkPlan") -> "NetworkSummary":
    from sequencer.cli.compose import render_compose
    from sequencer.cli.homes import make_network, write_whole

    summary = make_network(output, plan)
    write_whole(output / "docker-compose.yml", render_compose(summary.validators, f"{os.getuid()}:{os.getgid()}"))
    say(f"made {summary.validators} validators in {output}")
    return summary


def _addresses(entries: list[str] | None, count: int) -> list[str]:
    from sequencer.node.addresses import split_address

    if not entries:
        return [f"validator-{index}:{P2P_PORT}" for index in range(count)]
    if len(entries) != count:
        raise UsageFault(f"--address is given {len(entries)} times, for {count} validators")
    addresses = [entry if entry.rpartition(":")[2].isdigit() else f"{entry}:{P2P_PORT}" for entry in entries]
    for entry in addresses:
        try:
            split_address(entry)
        except ValueError as error:
            raise UsageFault(f"--address {entry}: {error}") from error
    if len(set(addresses)) != count:
        raise UsageFault("two validators have the same --address")
    return addresses


def _settings_of_all(addresses: list[str], common: dict[str, Any]) -> list[dict[str, Any]]:
    everywhere = dict.fromkeys(("p2p.host", "rpc.host", "metrics.host"), "0.0.0.0")  # noqa: S104 (other machines)
    return [
        {
            "p2p.port": int(own.rpartition(":")[2]),
            "p2p.peers": [{"index": index, "address": peer} for index, peer in enumerate(addresses) if peer != own],
            **everywhere,
            **common,
        }
        for own in addresses
    ]
