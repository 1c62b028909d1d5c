"""The L1 of a network whose homes lie in one directory: which one it is, and that every home names its Inbox.

Responsible for: `DIR/l1/l1.json`, which remembers the L1 that the network was made for; deploying the Inbox once,
filling the posters' accounts where the L1 gives money away, writing `[l1]` into the homes, noticing another L1 later.
Refuses to do: run an L1 (`devnet_l1.py`), or speak for homes that lie elsewhere (`l1.py`).

Invariants:
1. An Inbox is deployed only while no validator has data. After that the L1 must be the one that is remembered: it has
   the block that was final when the network last ran, and the Inbox.
2. The record is written whole: which L1 it is before anything is sent there, its Inbox before any home names that.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from consensus.genesis import Genesis
from sequencer.cli.errors import CommandError, UsageFault
from sequencer.cli.homes import L1_DIRECTORY, write_home, write_whole
from sequencer.keys.genesis_file import load_genesis
from sequencer.keys.key_files import KeyKind, load_secret
from sequencer.l1.deploying import deploy_inbox
from sequencer.l1.errors import DeploymentFailed, L1Error, WrongInbox
from sequencer.l1.inbox import Inbox
from sequencer.l1.json_rpc import L1Client
from sequencer.l1.shapes import to_hex
from sequencer.l1.transactions import address_of
from sequencer.l1dev.funding import fund
from sequencer.node.config import config_file_path
from sequencer.node.config_loading import values_in_file

RECORD_NAME = "l1.json"
NEW_NETWORK = "devnet: --reset; in containers: docker-compose down --volumes"


@dataclass(frozen=True, slots=True)
class L1Record:
    """What a network remembers of its L1."""

    url: str
    chain_id: int
    is_own: bool  # an anvil that the devnet runs itself
    inbox: str = ""  # 0x and 40 hex digits; empty until it is deployed
    final_number: int = 0
    final_hash: str = ""


def record_path(directory: Path) -> Path:
    """Where the network in `directory` keeps its record."""
    return directory / L1_DIRECTORY / RECORD_NAME


def load_record(directory: Path) -> L1Record | None:
    """The record of the network in `directory`, or `None` if there is none. Raises `UsageFault`."""
    path = record_path(directory)
    try:
        return L1Record(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise UsageFault(f"{path} cannot be read: {error}") from error


def save_record(directory: Path, record: L1Record) -> None:
    """Writes the record."""
    record_path(directory).parent.mkdir(exist_ok=True)
    write_whole(record_path(directory), json.dumps(asdict(record), indent=2) + "\n")


async def set_up(
    directory: Path, homes: Sequence[Path], client: L1Client, *, url: str, is_own: bool, say: Callable[[str], None]
) -> L1Record:
    """Makes the L1 behind `client` ready for the homes, or checks that it is the one that they know.

    `url` is where the validators reach it. Raises `CommandError`, as `UsageFault` with the remedy.
    """
    chain = load_genesis(config_file_path(homes[0]).with_name("genesis.toml"))
    record = load_record(directory)
    try:
        l1_chain_id = await client.chain_id()
        if l1_chain_id != chain.l1_chain_id:
            raise UsageFault(
                f"the L1 has the chain id {l1_chain_id}, and the network's genesis names {chain.l1_chain_id}; name the "
                "L1 that the network was made for, or make a new network"
            )
        if record is None:
            _require_no_data(directory, homes)
            record = L1Record(url, l1_chain_id, is_own)
            save_record(directory, record)
        await _fill_accounts(client, homes, say)
        if record.inbox:
            await _require_same(directory, client, chain, record)
        else:
            record = replace(record, inbox=to_hex(await _deploy(client, chain, homes[0], say)))
        record = replace(record, url=url)
    except L1Error as error:
        raise CommandError(f"the L1 could not be prepared: {error}") from error
    save_record(directory, record)
    for home in homes:
        _write_l1_section(home, record)
    return record


async def remember_final(directory: Path, client: L1Client, record: L1Record) -> L1Record:
    """Records the block that is final now. Raises `L1Error`."""
    block = await client.block("finalized")
    if block is None or block.number <= record.final_number:
        return record
    record = replace(record, final_number=block.number, final_hash=to_hex(block.hash))
    save_record(directory, record)
    return record


async def _fill_accounts(client: L1Client, homes: Sequence[Path], say: Callable[[str], None]) -> None:
    accounts = [address_of(load_secret(home / "keys", KeyKind.POSTER)) for home in homes]
    poor = await fund(client, accounts)
    if accounts[0] in poor:
        listed = "".join(f"\n  {to_hex(account)}" for account in accounts)
        raise UsageFault(
            "this L1 gives no money away, and the account that would deploy the Inbox has none. Fund the validators' "
            f"accounts, the first one above all, and start again:{listed}"
        )
    for account in poor:
        say(f"the poster's account {to_hex(account)} is empty: until it is funded its validator commits nothing")


async def _deploy(client: L1Client, chain: Genesis, home: Path, say: Callable[[str], None]) -> bytes:
    try:
        deployed = await deploy_inbox(client, chain, load_secret(home / "keys", KeyKind.POSTER))
    except DeploymentFailed as error:
        raise UsageFault(f"the Inbox could not be deployed: {error}") from error
    say(f"deployed the Inbox at {to_hex(deployed.inbox)} for {deployed.gas_used} gas")
    return deployed.inbox


def _require_no_data(directory: Path, homes: Sequence[Path]) -> None:
    if any((home / "data").exists() for home in homes):
        raise UsageFault(
            f"the validators have run, and {record_path(directory)}, which says what their L1 is, is lost; restore it, "
            f"or make a new network ({NEW_NETWORK})"
        )


async def _require_same(directory: Path, client: L1Client, chain: Genesis, record: L1Record) -> None:
    """Raises `UsageFault` unless the L1 is the one that the network ran on, and not an older copy of it."""
    block = await client.block(record.final_number) if record.final_hash else None
    found = to_hex(block.hash) if block is not None else "nothing"
    try:
        if record.final_hash and found != record.final_hash:
            detail = f"block {record.final_number} is {found}, was {record.final_hash}"
            raise UsageFault(_other_l1(directory, record, detail))
        await Inbox(client, bytes.fromhex(record.inbox[2:])).require_chain(chain)
    except WrongInbox as error:
        raise UsageFault(_other_l1(directory, record, str(error))) from error


def _other_l1(directory: Path, record: L1Record, detail: str) -> str:
    state = f"restore {directory / L1_DIRECTORY} as it was" if record.is_own else "name the L1 that the network ran on"
    return (
        f"this is not the L1 that the validators know, or an older copy of it ({detail}). What they know to be final "
        f"on it is gone, and they refuse to go on: {state}, or make a new network ({NEW_NETWORK})"
    )


def _write_l1_section(home: Path, record: L1Record) -> None:
    values = values_in_file(home)
    wanted = {"l1.url": record.url, "l1.inbox": record.inbox}
    if {name: values.get(name) for name in wanted} != wanted:
        write_home(home, {**values, **wanted}, None)
