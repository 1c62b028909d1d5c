"""Attestation certificates."""

from typing import Literal

from consensus.numbers import Height
from sequencer.client.wire import attestation_to_json
from sequencer.rpc.context import Context
from sequencer.rpc.method import Method
from sequencer.rpc.parameters import ATTESTED_HEIGHT


async def get_attestation(context: Context, height: Height | Literal["attested"]) -> object:
    """The certificate that covers a height, or null."""
    certificate = context.service.attestation(height)
    return None if certificate is None else attestation_to_json(certificate)


METHODS = (
    Method(
        "seq_getAttestation",
        "The certificate of the first attested height at or above a height, or of the newest one; null if there is "
        "none yet. Not every height is attested: the roots cover everything up to theirs.",
        get_attestation,
        (ATTESTED_HEIGHT,),
        result="Attestation",
        nullable=True,
    ),
)
