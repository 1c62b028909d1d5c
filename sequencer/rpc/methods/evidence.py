"""Proofs of validators' faults."""

from sequencer.client.evidence_views import evidence_to_json
from sequencer.rpc.context import Context
from sequencer.rpc.method import Method
from sequencer.rpc.parameters import AFTER_OFFENCE, EVIDENCE_COUNT


async def get_evidence(context: Context, after: bytes, count: int) -> object:
    """A page of evidence."""
    return [evidence_to_json(evidence) for evidence in await context.service.evidence(after, count)]


METHODS = (
    Method(
        "seq_getEvidence",
        "Proofs of validators' faults that this node keeps, by rule, validator and place. Empty if it knows of none.",
        get_evidence,
        (AFTER_OFFENCE, EVIDENCE_COUNT),
        result="Evidence",
        many=True,
    ),
)
