"""`sequencer l1`: the chain's Inbox on its L1, and what a validator needs there."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sequencer.cli.errors import CommandError, UsageFault
from sequencer.cli.options import HomeOption, JsonOption
from sequencer.cli.output import print_fields, print_json, say

if TYPE_CHECKING:
    from consensus.genesis import Genesis
    from sequencer.l1.deploying import Deployment
    from sequencer.node.config import NodeConfig

app = typer.Typer(
    help="The L1: the chain's Inbox, and a poster's account.", no_args_is_help=True, rich_markup_mode=None
)

L1Option = Annotated[str, typer.Option("--l1", metavar="URL", help="JSON-RPC of the L1.")]


@app.command("deploy")
def deploy(
    genesis: Annotated[Path, typer.Option("--genesis", help="The chain's genesis file; it names the L1's chain id.")],
    l1: L1Option,
    key: Annotated[Path, typer.Option("--key", help="File with the key that pays: 64 hex digits, mode 0600.")],
    as_json: JsonOption = False,
) -> None:
    """Put the chain's Inbox on its L1, once for all validators.

    Every validator then sets l1.url and l1.inbox.
    """
    import trio

    from sequencer.keys.genesis_file import load_genesis
    from sequencer.keys.key_files import KeyKind, load_secret_file

    chain = load_genesis(genesis)
    if not chain.l1_chain_id:
        raise UsageFault(f"{genesis} names no L1 (l1_chain_id is 0): such a chain commits to none")
    deployed = trio.run(_deploy, l1, chain, load_secret_file(key, KeyKind.POSTER))
    fields: dict[str, Any] = {
        "inbox": f"0x{deployed.inbox.hex()}",
        "transaction": f"0x{deployed.transaction.hex()}",
        "block_number": deployed.block_number,
        "gas_used": deployed.gas_used,
        "cost_wei": deployed.cost_wei,
    }
    _show(fields, as_json)
    say(f'Next, in every validator\'s config.toml: [l1] url = "…", inbox = "{fields["inbox"]}"')


@app.command("prepare")
def prepare(
    network: Annotated[Path, typer.Option("--network", metavar="DIR", help="What `testnet` made, not started yet.")],
    l1: L1Option,
    as_json: JsonOption = False,
) -> None:
    """Make an L1 and a network whose homes lie in one directory ready for each other.

    Deploys the Inbox once, fills the posters' accounts where the L1 gives money away, writes l1.url and l1.inbox into
    every home. A second time it checks that the L1 is still the same.
    """
    import trio

    from sequencer.cli.homes import load_summary, validator_home

    summary = load_summary(network)
    if summary is None:
        raise UsageFault(f"there is no network in {network}; make one with `sequencer testnet`")
    homes = [validator_home(network, index) for index in range(summary.validators)]
    record = trio.run(_prepare, network, homes, l1)
    _show(record, as_json)


@app.command("check")
def check(home: HomeOption, as_json: JsonOption = False) -> None:
    """Check that the L1 and the Inbox of a home's configuration are the chain's, and show its poster's account."""
    import trio

    from sequencer.keys.genesis_file import load_genesis
    from sequencer.node.config_loading import load_config

    config = load_config(home)
    if not config.l1.url:
        raise UsageFault(f"{home} has no L1: set l1.url and l1.inbox")
    _show(trio.run(_check, config, load_genesis(config.genesis_file)), as_json)


async def _deploy(url: str, chain: "Genesis", secret: bytes) -> "Deployment":
    from sequencer.l1.deploying import deploy_inbox
    from sequencer.l1.errors import DeploymentFailed, L1Error
    from sequencer.l1.json_rpc import L1Client

    try:
        async with L1Client(url) as client:
            return await deploy_inbox(client, chain, secret)
    except DeploymentFailed as error:
        raise UsageFault(str(error)) from error
    except (L1Error, ValueError) as error:
        raise CommandError(str(error)) from error


async def _prepare(network: Path, homes: list[Path], url: str) -> dict[str, Any]:
    from sequencer.cli.l1_network import remember_final, set_up
    from sequencer.l1.errors import L1Error
    from sequencer.l1.json_rpc import L1Client

    try:
        async with L1Client(url) as client:
            record = await set_up(network, homes, client, url=url, is_own=False, say=say)
            record = await remember_final(network, client, record)
    except (L1Error, ValueError) as error:
        raise CommandError(str(error)) from error
    return {"inbox": record.inbox, "l1_chain_id": record.chain_id}


async def _check(config: "NodeConfig", chain: "Genesis") -> dict[str, Any]:
    from sequencer.keys.key_files import KeyKind, load_secret
    from sequencer.l1.errors import L1Error, WrongInbox
    from sequencer.l1.inbox import Inbox
    from sequencer.l1.json_rpc import L1Client
    from sequencer.l1.transactions import address_of

    fields: dict[str, Any] = {"l1_chain_id": chain.l1_chain_id, "inbox": config.l1.inbox}
    try:
        async with L1Client(config.l1.url) as client:
            inbox = Inbox(client, bytes.fromhex(config.l1.inbox[2:]))
            await inbox.require_chain(chain)
            head, final = await inbox.head(), await client.block("finalized")
            fields |= {
                "next_index": head.next_index,
                "next_height": head.next_height,
                "last_commit_block": head.last_commit_block,
                "finalized_block": final.number if final is not None else None,
            }
            if config.l1.post:
                poster = address_of(load_secret(config.home / "keys", KeyKind.POSTER))
                balance_wei = await client.balance(poster)
                fields |= {"poster": f"0x{poster.hex()}", "balance_wei": balance_wei}
                if balance_wei == 0:
                    say(f"the poster's account {fields['poster']} is empty: fund it, or set l1.post = false")
    except WrongInbox as error:
        raise UsageFault(str(error)) from error
    except L1Error as error:
        raise CommandError(str(error)) from error
    return fields


def _show(fields: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(fields)
    else:
        print_fields(fields)
