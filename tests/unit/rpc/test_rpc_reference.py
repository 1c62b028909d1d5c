"""The generated page and the shapes in it are what the code does."""

import re
from pathlib import Path

import msgspec
import pytest

from consensus.evidence.check import Offence
from consensus.numbers import GENESIS_EPOCH, ZERO_HASH, BlockId, Hash, Height, Seq, ValidatorIndex
from sequencer.client import views, wire
from sequencer.client.chain_view import CheckpointView, chain_to_json, checkpoint_to_json, validators_to_json
from sequencer.client.evidence_views import EvidenceView, evidence_to_json
from sequencer.client.l1_views import l1_batch_to_json
from sequencer.client.namespace_views import NamespaceView, namespace_view_to_json
from sequencer.client.parts import NamespaceBlockPart, part_to_json
from sequencer.client.reasons import REASONS
from sequencer.client.status import Status, TransactionStatus, status_to_json
from sequencer.client.submission import SubmitOutcome, outcome_to_json, refused_item
from sequencer.client.subscription_items import NamespaceProgress, namespace_progress_to_json
from sequencer.rpc.methods import METHODS
from sequencer.rpc.namespace_feed import encode_part
from sequencer.rpc.reference import rpc_page
from sequencer.rpc.schemas import SCHEMAS
from tests.chain_run import ChainRun
from tests.committee import FIRST, Committee, Segment
from tests.integration.rpc.fake_service import LOAD, FakeService, block_view, l1_batch_view

NOTIFIED = {"NamespaceItem", "NamespaceProgress"}  # besides shapes that methods answer
PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "rpc.md"


def test_the_reference_page_is_up_to_date():
    assert PAGE.read_text() == rpc_page(), "python -m sequencer.rpc.reference > docs/reference/rpc.md"


def test_every_method_names_shapes_and_reasons_that_exist():
    for method in METHODS.values():
        assert method.result in SCHEMAS
        assert set(method.reasons) <= set(REASONS)
        assert method.summary.endswith(".")
        optional = [not parameter.required for parameter in method.parameters]
        assert optional == sorted(optional), "required parameters come first"


@pytest.fixture(scope="module")
def answers() -> dict[str, object]:
    """One answer of every shape, as the code writes it."""
    committee = Committee()
    service = FakeService(committee)
    run = ChainRun(committee)
    inert = run.seal(1, Segment(FIRST, raw=b"no framing"))
    run.block(60, {**run.data(0, b"one", b"two"), 1: [inert]})
    delivered, proof = run.delivered(0), run.proof(1)
    receipt = service._receipt(())
    refused = (refused_item(0, "full", 5), refused_item(1, "known", first_receipt=receipt))
    executed = views.NamespaceEntry(FIRST, delivered.block.index, 2, 14, ZERO_HASH, ZERO_HASH)
    block = views.BlockView(
        **{
            **{name: getattr(block_view(3), name) for name in views.BlockView.__dataclass_fields__},
            "namespaces_root": ZERO_HASH,
            "state_root": ZERO_HASH,
            "aux_root": ZERO_HASH,
            "namespaces": (executed,),
        }
    )
    return {
        "Sent": {"hash": "0x" + "00" * 32, "receipt": wire.receipt_to_json(receipt)},
        "Outcome": outcome_to_json(SubmitOutcome((ZERO_HASH,), (receipt,), refused)),
        "Status": status_to_json(TransactionStatus(Hash(bytes(32)), Status.RECEIVED, receipt=receipt)),
        "Block": views.block_to_json(block),
        "NamespaceBlock": part_to_json(NamespaceBlockPart(delivered, 0, 2)),
        "Attestation": wire.attestation_to_json(proof.certificate),
        "Proof": wire.proof_to_json(proof),
        "Validators": validators_to_json(GENESIS_EPOCH, committee.chain.validator_set),
        "Checkpoint": checkpoint_to_json(CheckpointView(Height(7), BlockId(ZERO_HASH), b"data")),
        "Chain": chain_to_json(committee.chain),
        "Namespace": namespace_view_to_json(NamespaceView(FIRST, "first", None, None, None, load=LOAD)),
        "L1Batch": l1_batch_to_json(l1_batch_view(1)),
        "Evidence": evidence_to_json(EvidenceView(Offence(3, ValidatorIndex(1), 7), b"proof")),
        "Peer": views.peer_to_json(service.peers()[1]),
        "SubscriptionId": "0x1",
        "Ended": True,
        "NamespaceItem": msgspec.json.decode(encode_part(NamespaceBlockPart(delivered, 0, 2))),
        "NamespaceProgress": namespace_progress_to_json(
            NamespaceProgress(FIRST, Status.ORDERED, Height(7), ends=(Seq(1), Seq(0)))
        ),
        "SyncStatus": views.sync_status_to_json(service.sync_status()),
    }


@pytest.mark.parametrize("name", sorted({method.result for method in METHODS.values()} | NOTIFIED))
def test_an_answer_has_exactly_the_fields_of_its_shape(answers, name):
    assert_matches(answers[name], SCHEMAS[name], name)


def assert_matches(value: object, schema: dict, where: str) -> None:
    if "$ref" in schema:
        assert_matches(value, SCHEMAS[schema["$ref"].rpartition("/")[2]], where)
    elif "oneOf" in schema:
        assert any(_matches(value, choice, where) for choice in schema["oneOf"]), (where, value)
    elif "additionalProperties" in schema:  # any names, values of one kind
        assert isinstance(value, dict), where
        for name, entry in value.items():
            assert_matches(entry, schema["additionalProperties"], f"{where}.{name}")
    elif schema["type"] == "object":
        assert isinstance(value, dict), where
        assert list(value) == schema["required"] == list(schema["properties"]), where
        for field, of in schema["properties"].items():
            assert_matches(value[field], of, f"{where}.{field}")
    elif schema["type"] == "array":
        assert isinstance(value, list), where
        for entry in value:
            assert_matches(entry, schema["items"], f"{where}[]")
    else:
        types = {"integer": int, "string": str, "boolean": bool, "null": type(None)}
        assert type(value) is types[schema["type"]], (where, value)
        assert value in schema.get("enum", [value]), where
        assert "pattern" not in schema or re.search(schema["pattern"], str(value)), (where, value)


def _matches(value: object, schema: dict, where: str) -> bool:
    try:
        assert_matches(value, schema, where)
    except AssertionError:
        return False
    return True
