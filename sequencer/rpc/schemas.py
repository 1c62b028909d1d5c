"""The shapes of results as JSON Schemas, for `rpc.discover` and the reference page.

Responsible for: describing what `sequencer/client` writes. A test holds the two together.
Refuses to do: validate at run time.

Invariants:
1. Every field is always present. More fields may be added; none is renamed or removed.
2. A schema describes one object: its fields by name, each with a type.
"""

from collections.abc import Mapping
from typing import Any

from sequencer.client.namespace_views import LOAD_NUMBERS, TERM_NAMES

Schema = dict[str, Any]

_NUMBER: Schema = {"type": "integer", "minimum": 0}
_CODE: Schema = {"type": "integer"}
_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_HEX: Schema = {"type": "string", "pattern": "^0x([0-9a-f]{2})*$"}
_HASH: Schema = {"type": "string", "pattern": "^0x[0-9a-f]{64}$"}
_WIDE: Schema = {"oneOf": [_NUMBER, {"type": "string", "pattern": "^0x[0-9a-f]{1,16}$"}]}
_STATUS: Schema = {
    "type": "string",
    "enum": ["unknown", "received", "ordered", "final", "attested", "posted", "settled", "expired", "refused"],
}


def _shape(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def _maybe(of: Schema) -> Schema:
    return {"oneOf": [of, {"type": "null"}]}


def _object(fields: Mapping[str, Schema]) -> Schema:
    return {"type": "object", "required": list(fields), "properties": dict(fields)}


SCHEMAS: dict[str, Schema] = {
    "Anchor": _object({"number": _NUMBER, "hash": _HASH}),
    "ReceiptItem": _object({"hash": _HASH, "namespace": _WIDE, "kind": _NUMBER, "index": _NUMBER}),
    "Receipt": _object(
        {
            "version": _NUMBER,
            "chain_id": _HASH,
            "epoch": _NUMBER,
            "lane": _NUMBER,
            "seq": _NUMBER,
            "batch": _HASH,
            "received_ms": _NUMBER,
            "items": _list(_shape("ReceiptItem")),
            "signature": _HEX,
        }
    ),
    "Sent": _object({"hash": _HASH, "receipt": _shape("Receipt")}),
    "Refused": _object(
        {
            "item": _NUMBER,
            "code": _CODE,
            "reason": _TEXT,
            "retry_after_ms": _maybe(_NUMBER),
            "receipt": _maybe(_shape("Receipt")),
        }
    ),
    "Outcome": _object(
        {"hashes": _list(_HASH), "receipts": _list(_shape("Receipt")), "refused": _list(_shape("Refused"))}
    ),
    "Status": _object(
        {
            "hash": _HASH,
            "namespace": _maybe(_WIDE),
            "status": _STATUS,
            "height": _maybe(_NUMBER),
            "namespace_index": _maybe(_NUMBER),
            "position": _maybe(_NUMBER),
            "section": _maybe(_TEXT),
            "receipt": _maybe(_shape("Receipt")),
            "count": _maybe(_NUMBER),
            "ordered_ms": _maybe(_NUMBER),
            "final_ms": _maybe(_NUMBER),
            "attested_ms": _maybe(_NUMBER),
            "l1": _maybe(_shape("L1Place")),
            "reason": _maybe(_TEXT),
            "places": _list(_shape("TransactionPlace")),
            "received_ms": _maybe(_NUMBER),
            "author_away_since_ms": _maybe(_NUMBER),
        }
    ),
    "TransactionPlace": _object(
        {
            "lane": _NUMBER,
            "seq": _NUMBER,
            "index": _NUMBER,
            "height": _maybe(_NUMBER),
            "namespace_index": _maybe(_NUMBER),
            "position": _maybe(_NUMBER),
        }
    ),
    "L1Place": _object({"batch_index": _NUMBER, "transaction": _HASH, "block_number": _NUMBER}),
    "BlockNamespace": _object(
        {
            "namespace": _WIDE,
            "index": _NUMBER,
            "tx_count": _NUMBER,
            "byte_count": _NUMBER,
            "data_root": _HASH,
            "hash": _HASH,
        }
    ),
    "Block": _object(
        {
            "version": _NUMBER,
            "height": _NUMBER,
            "epoch": _NUMBER,
            "view": _NUMBER,
            "block_id": _HASH,
            "parent_id": _HASH,
            "leader": _NUMBER,
            "ts_ms": _NUMBER,
            "l1_anchor": _shape("Anchor"),
            "namespaces_root": _maybe(_HASH),
            "state_root": _maybe(_HASH),
            "aux_root": _maybe(_HASH),
            "status": _STATUS,
            "namespaces": _maybe(_list(_shape("BlockNamespace"))),
        }
    ),
    "Run": _object({"lane": _NUMBER, "seq": _NUMBER, "batch": _HASH, "item_count": _NUMBER, "data": _maybe(_HEX)}),
    "Section": _object(
        {
            "section": {"type": "string", "enum": ["open"]},
            "item_count": _NUMBER,
            "byte_count": _NUMBER,
            "root": _HASH,
            "runs": _list(_shape("Run")),
            "transactions": _list(_HEX),
        }
    ),
    "NamespaceBlock": _object(
        {
            "version": _NUMBER,
            "namespace": _WIDE,
            "index": _NUMBER,
            "height": _NUMBER,
            "block_id": _HASH,
            "prev_hash": _HASH,
            "hash": _HASH,
            "ts_ms": _NUMBER,
            "l1_anchor": _shape("Anchor"),
            "tx_count": _NUMBER,
            "byte_count": _NUMBER,
            "data_root": _HASH,
            "sections": _list(_shape("Section")),
            "first_run": _NUMBER,
            "run_count": _NUMBER,
        }
    ),
    "Attestation": _object(
        {
            "version": _NUMBER,
            "epoch": _NUMBER,
            "height": _NUMBER,
            "block_id": _HASH,
            "namespaces_root": _HASH,
            "state_root": _HASH,
            "forced_cursor": _NUMBER,
            "aux_root": _HASH,
            "bitmap": _HEX,
            "signature": _HEX,
        }
    ),
    "Leaf": _object({"namespace": _WIDE, "index": _NUMBER, "hash": _HASH}),
    "Proof": _object(
        {
            "attestation": _shape("Attestation"),
            "path": _list(_HASH),
            "sides": _list({"type": "string", "enum": ["left", "right"]}),
            "leaf": _shape("Leaf"),
        }
    ),
    "Validator": _object(
        {"index": _NUMBER, "stake": _WIDE, "node_public_key": _HEX, "bls_public_key": _HEX, "possession": _HEX}
    ),
    "Validators": _object(
        {
            "epoch": _NUMBER,
            "total_stake": _WIDE,
            "quorum_stake": _WIDE,
            "witness_stake": _WIDE,
            "validators": _list(_shape("Validator")),
        }
    ),
    "Parameters": _object(
        {
            "batch_bytes_max": _NUMBER,
            "tx_bytes_max": _NUMBER,
            "lane_report_batches": _NUMBER,
            "attest_ms": _NUMBER,
            "anchor_step": _NUMBER,
            "l1_data": _NUMBER,
            "commit_bytes_max": _NUMBER,
        }
    ),
    "Checkpoint": _object({"height": _NUMBER, "block_id": _HASH, "data": _HEX}),
    "Chain": _object(
        {
            "chain_id": _HASH,
            "name": _TEXT,
            "genesis_time_ms": _NUMBER,
            "l1_chain_id": _WIDE,
            "parameters": _shape("Parameters"),
            "total_stake": _WIDE,
            "validators": _list(_shape("Validator")),
            "genesis": _HEX,
        }
    ),
    "NamespaceTerms": _object(dict.fromkeys(TERM_NAMES, _NUMBER)),
    "NamespaceLoad": _object(
        {**dict.fromkeys(LOAD_NUMBERS, _NUMBER), "refused": {"type": "object", "additionalProperties": _NUMBER}}
    ),
    "Namespace": _object(
        {
            "id": _WIDE,
            "name": _TEXT,
            "index": _maybe(_NUMBER),
            "height": _maybe(_NUMBER),
            "hash": _maybe(_HASH),
            "terms": _shape("NamespaceTerms"),
            "load": _maybe(_shape("NamespaceLoad")),
        }
    ),
    "Peer": _object(
        {
            "index": _NUMBER,
            "peer_id": _TEXT,
            "address": _maybe(_TEXT),
            "connected": _FLAG,
            "last_heard_ms": _maybe(_NUMBER),
            "round_trip_ms": _maybe(_NUMBER),
            "sent_bytes": _NUMBER,
            "received_bytes": _NUMBER,
            "queued_bytes": _NUMBER,
        }
    ),
    "SyncStatus": _object(
        {
            "ready": _FLAG,
            "reasons": _list(_TEXT),
            "view": _NUMBER,
            "ordered_height": _NUMBER,
            "final_height": _NUMBER,
            "executed_height": _NUMBER,
            "attested_height": _NUMBER,
            "target_height": _NUMBER,
            "missing_batches": _NUMBER,
            "l1": _maybe(_shape("L1Progress")),
            "catching_up": _maybe(_shape("CatchUp")),
        }
    ),
    "CatchUp": _object(
        {
            "phase": {"type": "string", "enum": ["headers", "batches", "executing"]},
            "walk_height": _maybe(_NUMBER),
            "heights_left": _NUMBER,
            "blocks_per_s": _NUMBER,
            "seconds_left": _maybe(_NUMBER),
        }
    ),
    "Evidence": _object(
        {
            "id": _HEX,
            "rule": {"type": "string", "enum": [f"E{number}" for number in range(1, 10)]},
            "validator": _NUMBER,
            "place": _WIDE,
            "slashable": _FLAG,
            "proof": _HEX,
        }
    ),
    "SubscriptionId": {"type": "string", "pattern": "^0x[0-9a-f]+$"},
    "Ended": _FLAG,
    "NamespaceItem": _object({"block": _maybe(_shape("NamespaceBlock")), "proof": _maybe(_shape("Proof"))}),
    "NamespaceProgress": _object(
        {
            "namespace": _WIDE,
            "status": _STATUS,
            "height": _NUMBER,
            "index": _maybe(_NUMBER),
            "ends": _maybe(_list(_NUMBER)),
        }
    ),
    "L1Progress": _object(
        {
            "reachable": _FLAG,
            "posted_height": _NUMBER,
            "settled_height": _NUMBER,
            "batch_index": _NUMBER,
            "backlog_bytes": _NUMBER,
            "backlog_ms": _NUMBER,
            "poster": _maybe(_TEXT),
        }
    ),
    "L1Batch": _object(
        {
            "index": _NUMBER,
            "first_height": _NUMBER,
            "last_height": _NUMBER,
            "hash": _HASH,
            "previous_hash": _HASH,
            "data": {"type": "string", "enum": ["held", "calldata"]},
            "data_hash": _HASH,
            "byte_count": _NUMBER,
            "namespaces_root": _HASH,
            "poster": _HEX,
            "transaction": _HASH,
            "block_number": _NUMBER,
            "block_hash": _HASH,
            "status": _STATUS,
        }
    ),
}
