"""The files of validators that are made together: for `init`, `testnet` and `devnet`.

Responsible for: homes with keys, configuration and a common genesis, and the summary that says they are complete.
Refuses to do: start anything, or change a home that holds data.

Invariants:
1. The summary (`network.json`) is written last and whole: where it stands, every home is complete.
2. A network without its summary was never started, so its homes may be made again.
"""

import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from consensus.errors import GenesisError
from consensus.genesis import ChainParameters, Genesis, Namespace, lane_report_batches_default
from consensus.limits import VALIDATORS_MAX
from consensus.namespace_terms import DEFAULT_TERMS, NamespaceTerms
from consensus.numbers import Milliseconds, NamespaceId, Stake
from consensus.validators import Validator
from sequencer.cli.errors import UsageFault
from sequencer.keys.genesis_file import render_genesis
from sequencer.keys.key_files import (
    KeyKind,
    create_key,
    key_path,
    load_bls_key,
    load_node_key,
    make_private_directory,
    new_secret,
)
from sequencer.node.config import config_file_path
from sequencer.node.config_file import render_annotated

SUMMARY_NAME = "network.json"
RUNNING_NAME = "devnet.json"
L1_DIRECTORY = "l1"
_FILES = (SUMMARY_NAME, RUNNING_NAME)
DEVNET_ANCHOR_STEP = 4


@dataclass(frozen=True, slots=True)
class NetworkSummary:
    """What a network was made with."""

    name: str
    chain_id: str
    validators: int
    namespaces: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """A network to make. `settings[i]` are the options that validator i's file sets."""

    name: str
    namespaces: Sequence[tuple[int, str]]
    settings: Sequence[Mapping[str, Any]]
    anchor_step: int = ChainParameters().anchor_step
    l1_chain_id: int = 0  # none
    l1_data: int = ChainParameters().l1_data
    terms: Mapping[int, NamespaceTerms] = field(default_factory=dict)


def validator_home(directory: Path, index: int) -> Path:
    """The home of validator `index` of the network in `directory`."""
    return directory / f"validator-{index}"


def require_validator_count(count: int) -> None:
    """Raises `UsageFault` for a number of validators that no chain can have."""
    if not 1 <= count <= VALIDATORS_MAX:
        raise UsageFault(f"--validators {count}: 1 to {VALIDATORS_MAX} are possible")


def load_summary(directory: Path) -> NetworkSummary | None:
    """The summary of the network in `directory`, or `None` if there is no complete one. Raises `UsageFault`."""
    path = directory / SUMMARY_NAME
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        namespaces = tuple((int(number), str(name)) for number, name in fields["namespaces"])
        return NetworkSummary(str(fields["name"]), str(fields["chain_id"]), int(fields["validators"]), namespaces)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageFault(f"{path} cannot be read: {error}") from error


def make_network(directory: Path, plan: NetworkPlan) -> NetworkSummary:
    """Makes the homes of all validators under `directory`. Raises `UsageFault` if it holds something else."""
    require_empty(directory)
    homes = [validator_home(directory, index) for index in range(len(plan.settings))]
    for home in homes:
        make_keys(home)
    genesis = _genesis(plan, homes)
    for home, settings in zip(homes, plan.settings, strict=True):
        write_home(home, settings, genesis)
    summary = NetworkSummary(plan.name, f"0x{genesis.chain_id.hex()}", len(homes), tuple(plan.namespaces))
    write_whole(directory / SUMMARY_NAME, json.dumps(asdict(summary), indent=2) + "\n")
    return summary


def require_empty(directory: Path) -> None:
    """Makes room in `directory`: homes that were never completed are removed. Raises `UsageFault` for anything else."""
    if not directory.exists():
        return
    if not directory.is_dir():
        raise UsageFault(f"{directory} is not a directory")
    strangers = [entry.name for entry in directory.iterdir() if not _is_unfinished(entry)]
    if strangers:
        raise UsageFault(
            f"{directory} is not empty (it has {', '.join(sorted(strangers)[:3])}); name another directory"
        )
    _remove_directories(directory)


def remove_network(directory: Path) -> None:
    """Removes what a network left in `directory`, keys and data too. Raises `UsageFault` if something else is there."""
    if not directory.is_dir():
        return
    strangers = [entry.name for entry in directory.iterdir() if not _is_ours(entry)]
    if strangers:
        raise UsageFault(f"{directory} holds more than a network ({', '.join(sorted(strangers)[:3])}); not removed")
    for name in _FILES:
        (directory / name).unlink(missing_ok=True)
    _remove_directories(directory)


def make_keys(home: Path) -> None:
    """Makes the keys of a home where they are missing."""
    make_private_directory(home)
    for kind in KeyKind:
        if not key_path(home / "keys", kind).exists():
            create_key(home / "keys", kind, new_secret(kind))


def write_home(home: Path, settings: Mapping[str, Any], genesis: Genesis | None) -> None:
    """Writes keys (where missing), the configuration with `settings`, and the genesis. Raises `UsageFault`."""
    try:
        text = render_annotated(settings)
    except KeyError as error:
        raise UsageFault(str(error.args[0])) from error
    make_keys(home)
    path = config_file_path(home)
    path.parent.mkdir(exist_ok=True)
    if genesis is not None:
        write_whole(path.with_name("genesis.toml"), render_genesis(genesis))
    write_whole(path, text)


def write_whole(path: Path, text: str) -> None:
    """Replaces a file at once: a reader sees the old text or the new, never a part."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _remove_directories(directory: Path) -> None:
    for entry in (*directory.glob("validator-*"), *directory.glob(L1_DIRECTORY)):
        shutil.rmtree(entry)


def _is_ours(entry: Path) -> bool:
    # LOCK is the running command's own; a name with a dot in front is a draft of a file that was being written.
    name = entry.name
    if name == "LOCK" or name in _FILES or any(name.startswith(f".{file}.") for file in _FILES):
        return True
    is_directory = entry.is_dir() and not entry.is_symlink()
    return is_directory and (name.startswith("validator-") or name == L1_DIRECTORY)


def _is_unfinished(entry: Path) -> bool:
    # A home with data is somebody's chain, whatever is missing beside it.
    return _is_ours(entry) and not (entry / "data").exists()


def _genesis(plan: NetworkPlan, homes: Sequence[Path]) -> Genesis:
    validators = []
    for home in homes:
        node_key, bls_key = load_node_key(home / "keys"), load_bls_key(home / "keys")
        validators.append(
            Validator(Stake(1), node_key.public_key, bls_key.public_key, bls_key.prove_possession()),
        )
    genesis = Genesis(
        name=plan.name,
        time_ms=Milliseconds(time.time_ns() // 1_000_000),
        l1_chain_id=plan.l1_chain_id,
        parameters=ChainParameters(
            lane_report_batches=lane_report_batches_default(len(homes)),
            anchor_step=plan.anchor_step,
            l1_data=plan.l1_data,
        ),
        validators=tuple(validators),
        namespaces=tuple(
            Namespace(NamespaceId(number), name, plan.terms.get(number, DEFAULT_TERMS))
            for number, name in sorted(plan.namespaces)
        ),
    )
    try:
        return genesis.check()
    except GenesisError as error:
        raise UsageFault(str(error)) from error
