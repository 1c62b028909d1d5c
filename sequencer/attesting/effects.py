"""What the attestation core wants done. The shell carries effects out in the order given.

BLS work (`SignAttestation`, `AggregateShares`, `VerifyShares`, `VerifyCertificate`) is done by `certify.py`'s functions
in a thread; each gives exactly one event.
"""

from dataclasses import dataclass

from consensus.numbers import Height, ValidatorIndex
from consensus.vocabulary.attestation import Attestation, AttestationCertificate, AttestationShare


@dataclass(frozen=True, slots=True)
class SignAttestation:
    """Sign with the own BLS key; answers `AttestationSigned`."""

    attestation: Attestation


@dataclass(frozen=True, slots=True)
class SaveShare:
    """Store the own share, synced; answers `ShareSaved`. Nothing of it leaves before."""

    share: AttestationShare


@dataclass(frozen=True, slots=True)
class SendShare:
    """Send an own share to one validator, or to all others."""

    share: AttestationShare
    to: ValidatorIndex | None


@dataclass(frozen=True, slots=True)
class AggregateShares:
    """Aggregate and verify once; answers `SharesAggregated`."""

    attestation: Attestation
    shares: tuple[AttestationShare, ...]


@dataclass(frozen=True, slots=True)
class VerifyShares:
    """Verify one by one; answers `SharesVerified`."""

    shares: tuple[AttestationShare, ...]


@dataclass(frozen=True, slots=True)
class VerifyCertificate:
    """Verify a received certificate; answers `CertificateVerified`."""

    certificate: AttestationCertificate
    sender: ValidatorIndex


@dataclass(frozen=True, slots=True)
class SaveCertificate:
    """Store a valid certificate and tell subscribers: everything up to its height is attested."""

    certificate: AttestationCertificate


@dataclass(frozen=True, slots=True)
class SendCertificate:
    """Send the stored certificate of exactly `height` to a validator that seems to lack it, if there is one."""

    height: Height
    to: ValidatorIndex


@dataclass(frozen=True, slots=True)
class RequestCertificate:
    """Ask some peer for the certificate of `height`; an answer comes as `CertificateReceived`."""

    height: Height


@dataclass(frozen=True, slots=True)
class RecordEvidence:
    """E6: one validator's valid signatures on two attestations of one height."""

    first: AttestationShare
    second: AttestationShare


@dataclass(frozen=True, slots=True)
class BlameValidator:
    """A validator sent something invalid over its own link; `reason` is one stable word."""

    validator: ValidatorIndex
    reason: str


Effect = (
    SignAttestation
    | SaveShare
    | SendShare
    | AggregateShares
    | VerifyShares
    | VerifyCertificate
    | SaveCertificate
    | SendCertificate
    | RequestCertificate
    | RecordEvidence
    | BlameValidator
)
