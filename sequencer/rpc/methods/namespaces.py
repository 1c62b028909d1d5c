"""Namespaces: which there are, their blocks page by page, and the proof of their newest block."""

from collections.abc import Sequence
from typing import Literal

from consensus.numbers import Height, NamespaceId, NamespaceIndex
from sequencer.client.namespace_views import namespace_view_to_json
from sequencer.client.parts import NamespaceBlockPart, part_to_json
from sequencer.client.wire import proof_to_json
from sequencer.rpc.context import Context
from sequencer.rpc.method import Method
from sequencer.rpc.options import PAGE_BYTES_MAX
from sequencer.rpc.parameters import (
    ATTESTED_HEIGHT,
    COUNT,
    FIRST_RUN,
    FROM_ID,
    FROM_INDEX,
    NAMESPACE,
    NAMESPACES_COUNT,
)


async def list_namespaces(context: Context, from_id: NamespaceId, count: int) -> object:
    """A page of the registered namespaces."""
    return [namespace_view_to_json(namespace) for namespace in await context.service.namespaces(from_id, count)]


async def get_namespace_blocks(
    context: Context, namespace: NamespaceId, from_index: NamespaceIndex, count: int, first_run: int
) -> object:
    """A page of a namespace's blocks with their transactions."""
    context.require_namespace(namespace)
    with context.answer_held(PAGE_BYTES_MAX):  # it is read far more quickly than its answer is made
        parts = await context.service.namespace_blocks(namespace, from_index, count, first_run, PAGE_BYTES_MAX)
        return await context.make_answer(_page_to_json, parts)


def _page_to_json(parts: Sequence[NamespaceBlockPart]) -> object:
    return [part_to_json(part) for part in parts]


async def get_namespace_proof(context: Context, namespace: NamespaceId, height: Height | Literal["attested"]) -> object:
    """The proof of the namespace's newest block up to an attested height, or null."""
    context.require_namespace(namespace)
    proof = await context.service.namespace_proof(namespace, height)
    return None if proof is None else proof_to_json(proof)


METHODS = (
    Method(
        "seq_listNamespaces",
        "The registered namespaces by id: newest block, terms of the genesis, and what goes on at this validator: what "
        "waits, what was admitted and sealed per second lately, how much of its quota that is, what was refused and "
        "why. For the next page ask from the last id + 1.",
        list_namespaces,
        (FROM_ID, NAMESPACES_COUNT),
        result="Namespace",
        many=True,
    ),
    Method(
        "seq_getNamespaceBlocks",
        "Executed blocks of a namespace with their transactions, gap-free from an index on; empty if there is none "
        "yet. A page ends at about 1 MiB of transactions, or earlier if they are few among many of other namespaces. "
        "Only its last block can be incomplete (`first_run` + the length of `runs` is below `run_count`): go on from "
        "that block's index with `first_run`.",
        get_namespace_blocks,
        (NAMESPACE, FROM_INDEX, COUNT, FIRST_RUN),
        result="NamespaceBlock",
        many=True,
        reasons=("unknown_namespace", "pruned", "overloaded"),
    ),
    Method(
        "seq_getNamespaceProof",
        "Proves which block is the namespace's newest up to an attested height: attestation, Merkle path, leaf. With "
        "the hash chain of the blocks it proves all earlier ones too. Null if nothing is attested yet or the namespace "
        "has no block.",
        get_namespace_proof,
        (NAMESPACE, ATTESTED_HEIGHT),
        result="Proof",
        nullable=True,
        reasons=("unknown_namespace",),
    ),
)
