"""What a node tells of its chain and of itself: blocks, peers, progress and health.

Responsible for: the types and their JSON shapes, one definition for node and client.
Refuses to do: verify anything. Of all this only attested roots can be proved (`verify.py`).

Invariants:
1. Reading what was written gives the same object.
2. In JSON every field is present; what is not known, or not yet, is null.
"""

from dataclasses import dataclass
from typing import Literal

from consensus.numbers import (
    BlockId,
    Epoch,
    Hash,
    Height,
    Milliseconds,
    NamespaceId,
    NamespaceIndex,
    ValidatorIndex,
    View,
)
from consensus.vocabulary.anchor import Anchor
from sequencer.client.errors import MalformedAnswer
from sequencer.client.fields import Fields, JsonObject, namespace_to_json, to_hex
from sequencer.client.status import Status
from sequencer.client.wire import anchor_from_json, anchor_to_json

BLOCK_VERSION = 1
BlockName = Literal["ordered", "final", "attested", "posted", "settled"]  # the newest block of that status


@dataclass(frozen=True, slots=True)
class NamespaceEntry:
    """One namespace's part of a block."""

    namespace: NamespaceId
    index: NamespaceIndex
    tx_count: int
    byte_count: int
    data_root: Hash
    hash: Hash


@dataclass(frozen=True, slots=True)
class BlockView:
    """A block. The roots and `namespaces` are those of its execution: None while it is ordered but not executed."""

    height: Height
    epoch: Epoch
    view: View
    block_id: BlockId
    parent_id: BlockId
    leader: ValidatorIndex
    ts_ms: Milliseconds
    l1_anchor: Anchor  # the effective one
    status: Status
    namespaces_root: Hash | None
    state_root: Hash | None
    aux_root: Hash | None
    namespaces: tuple[NamespaceEntry, ...] | None


@dataclass(frozen=True, slots=True)
class PeerView:
    """A link to another validator."""

    index: ValidatorIndex
    peer_id: str
    address: str | None  # host:port as configured or seen
    connected: bool
    last_heard_ms: Milliseconds | None
    round_trip_ms: int | None
    sent_bytes: int
    received_bytes: int
    queued_bytes: int


@dataclass(frozen=True, slots=True)
class L1Progress:
    """How far a node sees its chain on the L1; heights are 0 before the first batch.

    `backlog_ms` is the age of the oldest block with data that is not there. `poster` is a word: why the own poster does
    not commit now, or `ready`; None if it never does.
    """

    reachable: bool
    posted_height: Height
    settled_height: Height
    batch_index: int
    backlog_bytes: int
    backlog_ms: int
    poster: str | None


CatchUpPhase = Literal["headers", "batches", "executing"]
_PHASES: dict[str, CatchUpPhase] = {"headers": "headers", "batches": "batches", "executing": "executing"}


@dataclass(frozen=True, slots=True)
class CatchUp:
    """How a node that is far behind catches up.

    `phase` is what holds it up. Headers are fetched from the newest down to the final height, and applied upwards:
    `walk_height` is where that is, None if it is not under way. `blocks_per_s` are executed ones over the last 10 s;
    `seconds_left` counts the blocks that the chain makes meanwhile, None while the node comes no nearer.
    """

    phase: CatchUpPhase
    walk_height: Height | None
    heights_left: int
    blocks_per_s: int
    seconds_left: int | None


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """How far a node is. `target_height` is the highest that it knows to exist; `reasons` are those of readiness."""

    ready: bool
    reasons: tuple[str, ...]
    view: View
    ordered_height: Height
    final_height: Height
    executed_height: Height
    attested_height: Height
    target_height: Height
    missing_batches: int
    l1: L1Progress | None  # None for a node without an L1
    catching_up: CatchUp | None = None  # None for a node that follows the chain


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One check of `/healthz`."""

    name: str
    ok: bool
    detail: str


def block_to_json(block: BlockView) -> JsonObject:
    """The documented shape."""
    return {
        "version": BLOCK_VERSION,
        "height": block.height,
        "epoch": block.epoch,
        "view": block.view,
        "block_id": to_hex(block.block_id),
        "parent_id": to_hex(block.parent_id),
        "leader": block.leader,
        "ts_ms": block.ts_ms,
        "l1_anchor": anchor_to_json(block.l1_anchor),
        "namespaces_root": _hex_or_none(block.namespaces_root),
        "state_root": _hex_or_none(block.state_root),
        "aux_root": _hex_or_none(block.aux_root),
        "status": block.status.value,
        "namespaces": None if block.namespaces is None else [_entry_to_json(entry) for entry in block.namespaces],
    }


def _entry_to_json(entry: NamespaceEntry) -> JsonObject:
    return {
        "namespace": namespace_to_json(entry.namespace),
        "index": entry.index,
        "tx_count": entry.tx_count,
        "byte_count": entry.byte_count,
        "data_root": to_hex(entry.data_root),
        "hash": to_hex(entry.hash),
    }


def _hex_or_none(data: bytes | None) -> str | None:
    return None if data is None else to_hex(data)


def block_from_json(value: object) -> BlockView:
    """The inverse of `block_to_json`."""
    fields = Fields(value, "block")
    fields.constant("version", BLOCK_VERSION)
    return BlockView(
        Height(fields.number("height")),
        Epoch(fields.number("epoch")),
        View(fields.number("view")),
        BlockId(fields.hash("block_id")),
        BlockId(fields.hash("parent_id")),
        ValidatorIndex(fields.number("leader")),
        Milliseconds(fields.number("ts_ms")),
        anchor_from_json(fields.object("l1_anchor")),
        _read_status(fields.text("status")),
        _hash_or_none(fields, "namespaces_root"),
        _hash_or_none(fields, "state_root"),
        _hash_or_none(fields, "aux_root"),
        None if fields["namespaces"] is None else tuple(fields.items("namespaces", _entry_from_json)),
    )


def _read_status(word: str) -> Status:
    try:
        return Status(word)
    except ValueError as error:
        raise MalformedAnswer(f"block.status is no rung of the ladder: {word[:32]!r}") from error


def _hash_or_none(fields: Fields, key: str) -> Hash | None:
    return None if fields[key] is None else fields.hash(key)


def _number_or_none(fields: Fields, key: str) -> int | None:
    return None if fields[key] is None else fields.number(key)


def _entry_from_json(value: object, name: str) -> NamespaceEntry:
    fields = Fields(value, name)
    return NamespaceEntry(
        fields.namespace(),
        NamespaceIndex(fields.number("index")),
        fields.number("tx_count"),
        fields.number("byte_count"),
        fields.hash("data_root"),
        fields.hash("hash"),
    )


def peer_to_json(peer: PeerView) -> JsonObject:
    """One link."""
    return {
        "index": peer.index,
        "peer_id": peer.peer_id,
        "address": peer.address,
        "connected": peer.connected,
        "last_heard_ms": peer.last_heard_ms,
        "round_trip_ms": peer.round_trip_ms,
        "sent_bytes": peer.sent_bytes,
        "received_bytes": peer.received_bytes,
        "queued_bytes": peer.queued_bytes,
    }


def peer_from_json(value: object, name: str = "peer") -> PeerView:
    """The inverse of `peer_to_json`."""
    fields = Fields(value, name)
    last_heard_ms = _number_or_none(fields, "last_heard_ms")
    return PeerView(
        ValidatorIndex(fields.number("index")),
        fields.text("peer_id"),
        None if fields["address"] is None else fields.text("address"),
        fields.flag("connected"),
        None if last_heard_ms is None else Milliseconds(last_heard_ms),
        _number_or_none(fields, "round_trip_ms"),
        fields.number("sent_bytes"),
        fields.number("received_bytes"),
        fields.number("queued_bytes"),
    )


def sync_status_to_json(status: SyncStatus) -> JsonObject:
    """The documented shape."""
    return {
        "ready": status.ready,
        "reasons": list(status.reasons),
        "view": status.view,
        "ordered_height": status.ordered_height,
        "final_height": status.final_height,
        "executed_height": status.executed_height,
        "attested_height": status.attested_height,
        "target_height": status.target_height,
        "missing_batches": status.missing_batches,
        "l1": None if status.l1 is None else _l1_progress_to_json(status.l1),
        "catching_up": None if status.catching_up is None else _catch_up_to_json(status.catching_up),
    }


def _catch_up_to_json(figures: CatchUp) -> JsonObject:
    return {
        "phase": figures.phase,
        "walk_height": figures.walk_height,
        "heights_left": figures.heights_left,
        "blocks_per_s": figures.blocks_per_s,
        "seconds_left": figures.seconds_left,
    }


def _catch_up_from_json(value: object) -> CatchUp | None:
    if value is None:
        return None
    fields = Fields(value, "sync.catching_up")
    phase = _PHASES.get(fields.text("phase"))
    if phase is None:
        raise MalformedAnswer(f"sync.catching_up.phase is one of {', '.join(_PHASES)}")
    walk_height = _number_or_none(fields, "walk_height")
    return CatchUp(
        phase,
        None if walk_height is None else Height(walk_height),
        fields.number("heights_left"),
        fields.number("blocks_per_s"),
        _number_or_none(fields, "seconds_left"),
    )


def _l1_progress_to_json(progress: L1Progress) -> JsonObject:
    return {
        "reachable": progress.reachable,
        "posted_height": progress.posted_height,
        "settled_height": progress.settled_height,
        "batch_index": progress.batch_index,
        "backlog_bytes": progress.backlog_bytes,
        "backlog_ms": progress.backlog_ms,
        "poster": progress.poster,
    }


def _l1_progress_from_json(value: object) -> L1Progress:
    fields = Fields(value, "sync.l1")
    return L1Progress(
        fields.flag("reachable"),
        Height(fields.number("posted_height")),
        Height(fields.number("settled_height")),
        fields.number("batch_index"),
        fields.number("backlog_bytes"),
        fields.number("backlog_ms"),
        None if fields["poster"] is None else fields.text("poster"),
    )


def sync_status_from_json(value: object) -> SyncStatus:
    """The inverse of `sync_status_to_json`."""
    fields = Fields(value, "sync")
    return SyncStatus(
        fields.flag("ready"),
        tuple(fields.items("reasons", lambda item, name: Fields({name: item}, "sync").text(name))),
        View(fields.number("view")),
        Height(fields.number("ordered_height")),
        Height(fields.number("final_height")),
        Height(fields.number("executed_height")),
        Height(fields.number("attested_height")),
        Height(fields.number("target_height")),
        fields.number("missing_batches"),
        None if fields["l1"] is None else _l1_progress_from_json(fields["l1"]),
        _catch_up_from_json(fields["catching_up"]) if "catching_up" in fields else None,  # older nodes do not tell
    )


def health_check_to_json(check: HealthCheck) -> JsonObject:
    """`{name, ok, detail}`."""
    return {"name": check.name, "ok": check.ok, "detail": check.detail}
