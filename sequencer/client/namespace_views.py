"""What a node tells of a namespace: its newest block, its terms, and what goes on in it at that validator.

Responsible for: the types and their JSON shapes, one definition for node and client.
Refuses to do: verify anything.

Invariants:
1. Reading what was written gives the same object.
2. A node that is older tells neither terms nor load: then the terms are the default and the load is None.
"""

from dataclasses import dataclass, fields

from consensus.namespace_terms import DEFAULT_TERMS, NamespaceTerms
from consensus.numbers import Hash, Height, NamespaceId, NamespaceIndex
from sequencer.client.errors import MalformedAnswer
from sequencer.client.fields import Fields, JsonObject, namespace_to_json, to_hex


@dataclass(frozen=True, slots=True)
class NamespaceLoad:
    """At one validator. Rates are of the last seconds; bytes count length prefixes; counters are since its start."""

    queued_tx: int
    queued_bytes: int
    oldest_waiting_ms: int
    admitted_tx_per_s: int
    admitted_bytes_per_s: int
    sealed_tx_per_s: int
    sealed_bytes_per_s: int
    quota_used_permille: int  # of the scarcer of bytes and transactions a second
    sealed_share_permille: int  # of the bytes in this validator's batches
    expired: int
    refused: dict[str, int]  # transactions by reason


@dataclass(frozen=True, slots=True)
class NamespaceView:
    """A registered namespace and its newest block; `index`, `height` and `hash` are None before its first."""

    id: NamespaceId
    name: str
    index: NamespaceIndex | None
    height: Height | None
    hash: Hash | None
    terms: NamespaceTerms = DEFAULT_TERMS
    load: NamespaceLoad | None = None  # None for a node without a lane


TERM_NAMES = tuple(field.name for field in fields(NamespaceTerms))
LOAD_NUMBERS = tuple(field.name for field in fields(NamespaceLoad) if field.name != "refused")


def namespace_view_to_json(namespace: NamespaceView) -> JsonObject:
    """`{id, name, index, height, hash, terms, load}`."""
    load = namespace.load
    return {
        "id": namespace_to_json(namespace.id),
        "name": namespace.name,
        "index": namespace.index,
        "height": namespace.height,
        "hash": None if namespace.hash is None else to_hex(namespace.hash),
        "terms": {name: getattr(namespace.terms, name) for name in TERM_NAMES},
        "load": None
        if load is None
        else {**{name: getattr(load, name) for name in LOAD_NUMBERS}, "refused": dict(load.refused)},
    }


def namespace_view_from_json(value: object, name: str = "namespace") -> NamespaceView:
    """The inverse of `namespace_view_to_json`."""
    found = Fields(value, name)
    return NamespaceView(
        found.namespace("id"),
        found.text("name"),
        None if found["index"] is None else NamespaceIndex(found.number("index")),
        None if found["height"] is None else Height(found.number("height")),
        None if found["hash"] is None else found.hash("hash"),
        _terms_from_json(found["terms"]) if "terms" in found else DEFAULT_TERMS,
        _load_from_json(found["load"]) if "load" in found else None,
    )


def _terms_from_json(value: object) -> NamespaceTerms:
    found = Fields(value, "namespace.terms")
    return NamespaceTerms(**{name: found.number(name) for name in TERM_NAMES})


def _load_from_json(value: object) -> NamespaceLoad | None:
    if value is None:
        return None
    found = Fields(value, "namespace.load")
    refused = found["refused"]
    if not isinstance(refused, dict):
        raise MalformedAnswer("namespace.load.refused is an object")
    counts = Fields(refused, "namespace.load.refused")
    numbers = {name: found.number(name) for name in LOAD_NUMBERS}
    return NamespaceLoad(**numbers, refused={reason: counts.number(reason) for reason in refused})
