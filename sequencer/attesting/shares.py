"""The shares of one attested height: one per validator, which of them are verified, and who signed twice.

Responsible for: keeping what arrived for a height, finding a quorum that agrees with the own attestation, and pairing
conflicting shares.
Refuses to do: verify anything, or decide which heights are kept (`attest.py`).

Invariants:
1. At most one share per validator is kept, and it is replaced only after it was found bad.
2. Shares of other attestations than the own one never count towards a certificate.
"""

from dataclasses import dataclass, field

from consensus.numbers import Height, ValidatorIndex
from consensus.validators import ValidatorSet
from consensus.vocabulary.attestation import Attestation, AttestationCertificate, AttestationShare


@dataclass(slots=True)
class HeightShares:
    """One height. `attestation` is None until this node's own execution is there."""

    height: Height
    attestation: Attestation | None = None
    certificate: AttestationCertificate | None = None
    own: AttestationShare | None = None  # saved, so it may be sent
    retries: int = 0
    aggregating: tuple[AttestationShare, ...] = ()  # being summed and checked together; empty if nothing is
    suspects: set[ValidatorIndex] = field(default_factory=set)  # being verified one by one after a failed aggregation
    shares: dict[ValidatorIndex, AttestationShare] = field(default_factory=dict)
    verified: set[ValidatorIndex] = field(default_factory=set)

    def conflicting(self, share: AttestationShare) -> AttestationShare | None:
        """The validator's kept share if it is for another attestation."""
        kept = self.shares.get(share.validator)
        return kept if kept is not None and kept.attestation != share.attestation else None

    def add(self, share: AttestationShare) -> None:
        """Keeps a share that nobody verified, unless the validator has one already."""
        self.shares.setdefault(share.validator, share)

    def confirm(self, share: AttestationShare) -> AttestationShare | None:
        """Notes that a share is valid; returns the validator's other valid share if that is for another attestation."""
        kept = self.conflicting(share)
        if kept is not None and share.validator in self.verified:
            return kept
        self.shares[share.validator] = share
        self.verified.add(share.validator)
        return None

    def discard(self, share: AttestationShare) -> None:
        """Forgets a share that was found bad."""
        if self.shares.get(share.validator) == share:
            del self.shares[share.validator]
            self.verified.discard(share.validator)

    def quorum(self, validators: ValidatorSet) -> tuple[AttestationShare, ...] | None:
        """All shares for the own attestation, by validator, if they hold a quorum."""
        if self.attestation is None:
            return None
        agreeing = [share for share in self.shares.values() if share.attestation == self.attestation]
        if not validators.is_quorum(share.validator for share in agreeing):
            return None
        return tuple(sorted(agreeing, key=lambda share: share.validator))

    def unverified(self) -> tuple[AttestationShare, ...]:
        """The shares for the own attestation that nobody checked one by one yet."""
        return tuple(
            share
            for validator, share in sorted(self.shares.items())
            if validator not in self.verified and share.attestation == self.attestation
        )
