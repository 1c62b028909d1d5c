"""What happened, as the attestation core is told. The results of effects are events, too."""

from dataclasses import dataclass

from consensus.numbers import Height, ValidatorIndex
from consensus.vocabulary.attestation import Attestation, AttestationCertificate, AttestationShare


@dataclass(frozen=True, slots=True)
class AttestationDue:
    """Execution reached a height that the chain attests. After a restart it is told again from the store."""

    attestation: Attestation


@dataclass(frozen=True, slots=True)
class BytesSynced:
    """Every byte of every block up to `height` is synced on this node's disk."""

    height: Height


@dataclass(frozen=True, slots=True)
class AttestationSigned:
    """The result of `SignAttestation`."""

    share: AttestationShare


@dataclass(frozen=True, slots=True)
class ShareSaved:
    """The result of `SaveShare`: the own share is synced."""

    share: AttestationShare


@dataclass(frozen=True, slots=True)
class ShareReceived:
    """A share came over the link of validator `sender`."""

    share: AttestationShare
    sender: ValidatorIndex


@dataclass(frozen=True, slots=True)
class SharesAggregated:
    """The result of `AggregateShares`: a valid certificate, or None if some share is bad."""

    attestation: Attestation
    certificate: AttestationCertificate | None


@dataclass(frozen=True, slots=True)
class SharesVerified:
    """The result of `VerifyShares`."""

    good: tuple[AttestationShare, ...]
    bad: tuple[AttestationShare, ...]


@dataclass(frozen=True, slots=True)
class CertificateReceived:
    """A certificate came from validator `sender`, asked for or not."""

    certificate: AttestationCertificate
    sender: ValidatorIndex


@dataclass(frozen=True, slots=True)
class CertificateVerified:
    """The result of `VerifyCertificate`."""

    certificate: AttestationCertificate
    sender: ValidatorIndex
    is_valid: bool


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """A link to `validator` is up, for the first time or again, or frames to it were lost."""

    validator: ValidatorIndex


@dataclass(frozen=True, slots=True)
class RetryPeriodPassed:
    """The shell's period (a second or so) for asking and sending again has passed."""


Event = (
    AttestationDue
    | BytesSynced
    | AttestationSigned
    | ShareSaved
    | ShareReceived
    | SharesAggregated
    | SharesVerified
    | CertificateReceived
    | CertificateVerified
    | PeerConnected
    | RetryPeriodPassed
)
