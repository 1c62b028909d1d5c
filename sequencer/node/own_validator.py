"""Who this node is: its keys and the genesis, and whether its configuration fits them.

Responsible for: loading what stands beside the configuration in a home, and the checks that need more than one of them.
Refuses to do: open the database, lock the home, or keep a record of what was signed.

Invariants:
1. A node whose node key and BLS key do not stand in one genesis entry never starts.
2. A validator that holds a third of the stake or more is warned of: the protocol promises nothing against it.
"""

from dataclasses import dataclass

import structlog

from consensus.bls import BlsKey
from consensus.genesis import Genesis
from consensus.numbers import ValidatorIndex
from consensus.signing import NodeKey
from consensus.vocabulary.batch import LENGTH_PREFIX_BYTES
from sequencer.keys.genesis_file import load_genesis
from sequencer.keys.key_files import load_bls_key, load_node_key
from sequencer.node.config import NodeConfig
from sequencer.node.errors import ConfigError

KEEP_S_MIN = 3_600

_log = structlog.get_logger("node")


@dataclass(frozen=True, slots=True)
class LoadedValidator:
    """A validator that is ready to start: the chain, its place in it, and its keys."""

    genesis: Genesis
    index: ValidatorIndex
    node_key: NodeKey
    bls_key: BlsKey


def load_validator(config: NodeConfig) -> LoadedValidator:
    """Loads genesis and keys of `config.home` and checks that all fit together.

    Raises `ConfigError`, `GenesisFileError` or `KeyFileError`, each with what has to be mended.
    """
    genesis = load_genesis(config.genesis_file)
    node_key, bls_key = load_node_key(config.keys_dir), load_bls_key(config.keys_dir)
    index = genesis.validator_set.index_of(node_key.public_key)
    if index is None:
        raise ConfigError(
            f"{config.home} is not a validator of this chain",
            [f"the genesis has no entry with the node key 0x{node_key.public_key.hex()}"],
        )
    if genesis.validators[index].bls_public_key != bls_key.public_key:
        raise ConfigError(
            f"{config.home} cannot run as validator {index}",
            ["its BLS key is not the one in the genesis; `sequencer keys show` prints what is here"],
        )
    check_with_genesis(config, genesis, index)
    warn_of_indispensable(genesis)
    return LoadedValidator(genesis, index, node_key, bls_key)


def warn_of_indispensable(genesis: Genesis) -> None:
    """Says which validators the chain cannot do without; of a chain that has one validator everybody knows."""
    validators = genesis.validator_set
    for index in validators.indispensable():
        if validators.count > 1:
            _log.warning(
                "validator_is_indispensable",
                validator=index,
                stake=validators.stakes[index],
                total=validators.total,
                detail="it holds a third of the stake or more: when it stops, the chain stops, and if it lies, nothing "
                "is promised",
            )


def check_with_genesis(config: NodeConfig, genesis: Genesis, own: ValidatorIndex) -> None:
    """Raises `ConfigError` where the configuration of validator `own` does not fit the chain."""
    count = len(genesis.validators)
    problems = [
        f"p2p.peers: there is no validator {peer.index}, the genesis has {count}"
        for peer in config.p2p.peers
        if peer.index >= count
    ]
    missing = sorted(set(range(count)) - {peer.index for peer in config.p2p.peers} - {own})
    if missing:
        problems.append(f"p2p.peers: no address of validator {', '.join(map(str, missing))}")
    if config.mempool.batch_bytes_target > genesis.parameters.batch_bytes_max:
        problems.append(
            f"mempool.batch_bytes_target ({config.mempool.batch_bytes_target}) is above the chain's "
            f"batch_bytes_max ({genesis.parameters.batch_bytes_max})"
        )
    longest_bytes = LENGTH_PREFIX_BYTES + genesis.parameters.tx_bytes_max
    if config.mempool.queue_bytes < longest_bytes:
        problems.append(
            f"mempool.queue_bytes ({config.mempool.queue_bytes}) is below {longest_bytes}: the chain's longest "
            "transaction would be told for ever to come again"
        )
    if config.l1.url and not genesis.l1_chain_id:
        problems.append("l1.url is set, but the genesis names no L1 (l1_chain_id is 0)")
    problems += _pruning_problems(config, genesis)
    if problems:
        raise ConfigError(f"the configuration of {config.home} does not fit its genesis", problems)


def _pruning_problems(config: NodeConfig, genesis: Genesis) -> list[str]:
    keep_s, problems = config.storage.keep_s, []
    if 0 < keep_s < KEEP_S_MIN and not config.node.development_network:
        problems.append(
            f"storage.keep_s ({keep_s:g}) is below {KEEP_S_MIN}: rollups could not fetch their blocks in time, nor new "
            "nodes catch up"
        )
    if keep_s and genesis.l1_chain_id and not config.l1.url:
        problems.append("storage.keep_s is set, but without an l1.url this node cannot tell what the L1 holds")
    return problems
