"""Proofs of validators' faults."""

from sequencer.client.evidence_views import evidence_to_json
from sequencer.rpc.context import Context
from sequencer.rpc.method import Method
from sequencer.rpc.parameters import AFTER_OFFENCE, EVIDENCE_COUNT, OFFENCE


async def get_evidence(context: Context, after: bytes, count: int, offence: bytes) -> object:
    """A page of evidence, or the proof of one offence."""
    if offence:
        found = await context.service.evidence_of(offence)
        return [evidence_to_json(found)] if found is not None else []
    return [evidence_to_json(evidence) for evidence in await context.service.evidence(after, count)]


METHODS = (
    Method(
        "seq_getEvidence",
        "Proofs of validators' faults that this node keeps, by rule, validator and place. Empty if it knows of none.",
        get_evidence,
        (AFTER_OFFENCE, EVIDENCE_COUNT, OFFENCE),
        result="Evidence",
        many=True,
    ),
)
