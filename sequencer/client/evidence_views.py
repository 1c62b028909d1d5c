"""Evidence as a node tells it, and as JSON: one definition for node and client.

Refuses to do: believe: `sequencer evidence verify`, and `consensus.evidence.check`, judge a proof by the genesis alone.

Invariants:
1. Reading what was written gives the same object.
"""

from dataclasses import dataclass

from consensus.evidence.check import OFFENCE_BYTES, Offence
from consensus.evidence.proofs import PROOF_BYTES_MAX
from consensus.numbers import NamespaceId
from sequencer.client.errors import MalformedAnswer
from sequencer.client.fields import Fields, JsonObject, namespace_to_json, to_hex


@dataclass(frozen=True, slots=True)
class EvidenceView:
    """An offence and its encoded proof."""

    offence: Offence
    proof: bytes


def offence_to_json(offence: Offence) -> JsonObject:
    """What follows from an offence's id, for a reader."""
    return {
        "rule": f"E{offence.rule}",
        "validator": offence.validator,
        "place": namespace_to_json(NamespaceId(offence.place)),
        "slashable": offence.is_slashable,
    }


def evidence_to_json(evidence: EvidenceView) -> JsonObject:
    """The documented shape."""
    offence = evidence.offence
    return {"id": to_hex(offence.encode()), **offence_to_json(offence), "proof": to_hex(evidence.proof)}


def evidence_from_json(value: object, name: str = "evidence") -> EvidenceView:
    """The inverse of `evidence_to_json`; `rule`, `validator`, `place` and `slashable` follow from the id."""
    fields = Fields(value, name)
    offence = Offence.decode(fields.data("id", OFFENCE_BYTES))
    view = EvidenceView(offence, fields.data("proof", None))
    told = (fields.text("rule"), fields.number("validator"), fields.namespace("place"), fields.flag("slashable"))
    if told != (f"E{offence.rule}", offence.validator, offence.place, offence.is_slashable):
        raise MalformedAnswer(f"{name} contradicts its id")
    if len(view.proof) > PROOF_BYTES_MAX:
        raise MalformedAnswer(f"{name}.proof has at most {PROOF_BYTES_MAX} bytes")
    return view
