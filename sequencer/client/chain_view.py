"""The chain a node is on, as it tells it: the genesis and the validators.

Responsible for: the JSON shapes of both, and of a checkpoint.
Refuses to do: trust. A genesis read here belongs to the chain id that is its own hash; whether that is the chain the
caller means, only the caller knows: pass the id.

Invariants:
1. A genesis travels in its canonical bytes; the fields beside them are for people and are not read back.
2. A stake is a JSON number up to 2^53−1, else a `0x` hex string, as a namespace is.
"""

from dataclasses import dataclass

from consensus.errors import DecodeError, GenesisError
from consensus.genesis import Genesis
from consensus.numbers import BlockId, Epoch, Height, NamespaceId, Stake
from consensus.signing import PUBLIC_KEY_BYTES
from consensus.validators import Validator, ValidatorSet
from sequencer.client.errors import MalformedAnswer, UnprovedAnswer
from sequencer.client.fields import Fields, JsonObject, namespace_from_json, namespace_to_json, to_hex


def validators_to_json(epoch: Epoch, validators: ValidatorSet) -> JsonObject:
    """The set of an epoch with its thresholds."""
    return {
        "epoch": epoch,
        "total_stake": _stake_to_json(validators.total),
        "quorum_stake": _stake_to_json(validators.quorum),
        "witness_stake": _stake_to_json(validators.witness),
        "validators": [
            {
                "index": index,
                "stake": _stake_to_json(validator.stake),
                "node_public_key": to_hex(validator.node_public_key),
                "bls_public_key": to_hex(validator.bls_public_key),
                "possession": to_hex(validator.possession),
            }
            for index, validator in enumerate(validators.validators)
        ],
    }


@dataclass(frozen=True, slots=True)
class CheckpointView:
    """What a node may start from: a height, its block and the encoded checkpoint, none of it verified."""

    height: Height
    block_id: BlockId
    data: bytes


def checkpoint_to_json(checkpoint: CheckpointView) -> JsonObject:
    """The documented shape."""
    return {
        "height": checkpoint.height,
        "block_id": to_hex(checkpoint.block_id),
        "data": to_hex(checkpoint.data),
    }


def checkpoint_from_json(value: object) -> CheckpointView:
    """The inverse of `checkpoint_to_json`."""
    fields = Fields(value, "checkpoint")
    return CheckpointView(Height(fields.number("height")), BlockId(fields.hash("block_id")), fields.data("data"))


def _stake_to_json(stake: int) -> int | str:
    return namespace_to_json(NamespaceId(stake))


def chain_to_json(chain: Genesis) -> JsonObject:
    """What a client needs in order to verify: the genesis in its canonical bytes, and its content for people."""
    parameters = chain.parameters
    return {
        "chain_id": to_hex(chain.chain_id),
        "name": chain.name,
        "genesis_time_ms": chain.time_ms,
        "l1_chain_id": namespace_to_json(NamespaceId(chain.l1_chain_id)),
        "parameters": {
            "batch_bytes_max": parameters.batch_bytes_max,
            "tx_bytes_max": parameters.tx_bytes_max,
            "lane_report_batches": parameters.lane_report_batches,
            "attest_ms": parameters.attest_ms,
            "anchor_step": parameters.anchor_step,
            "l1_data": parameters.l1_data,
            "commit_bytes_max": parameters.commit_bytes_max,
        },
        **{
            key: value
            for key, value in validators_to_json(Epoch(0), chain.validator_set).items()
            if key in ("total_stake", "validators")
        },
        "genesis": to_hex(chain.encode()),
    }


def chain_from_json(value: object, chain_id: bytes | None = None) -> Genesis:
    """The checked genesis. Raises `UnprovedAnswer("wrong_chain")` if `chain_id` is given and is not its hash."""
    try:
        chain = Genesis.decode(Fields(value, "chain").data("genesis")).check()
    except (DecodeError, GenesisError) as error:
        raise MalformedAnswer(f"chain.genesis: {error}") from error
    if chain_id is not None and chain.chain_id != chain_id:
        raise UnprovedAnswer("wrong_chain", f"the node is on chain {to_hex(chain.chain_id)}")
    return chain


def validators_from_json(value: object) -> tuple[Validator, ...]:
    """The validators of `validators_to_json`, by index."""
    return tuple(Fields(value, "set").items("validators", _validator_from_json))


def _validator_from_json(value: object, name: str) -> Validator:
    fields = Fields(value, name)
    return Validator(
        Stake(namespace_from_json(fields["stake"], f"{name}.stake")),
        fields.data("node_public_key", PUBLIC_KEY_BYTES),
        fields.data("bls_public_key", 48),
        fields.data("possession", 96),
    )
