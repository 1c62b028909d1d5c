"""The JSON-RPC methods, one file per noun, and the table of all of them.

Invariant: a method exists if and only if it stands in `METHODS`; the reference and `rpc.discover` are made from it.
"""

from sequencer.rpc.method import Method
from sequencer.rpc.methods import (
    attestations,
    batches,
    blocks,
    chain,
    evidence,
    namespaces,
    peers,
    subscriptions,
    transactions,
)

_ROOMS = (transactions, blocks, namespaces, attestations, batches, evidence, chain, peers, subscriptions)

METHODS: dict[str, Method] = {method.name: method for room in _ROOMS for method in room.METHODS}
