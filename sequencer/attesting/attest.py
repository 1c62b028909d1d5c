"""From due heights to certificates: own shares in order, others' shares gathered, one certificate per attested height.

Responsible for: when to sign, save, send, aggregate, verify, ask and accuse. Effects go out, results come in as events.
Refuses to do: BLS (`certify.py`, run by the shell in a thread), storage, links; decide which heights are attested
(`sequencer/execution/attested.py`).

Invariants:
1. An own attestation is signed when this node has executed its height and every byte up to it is synced; the lowest
   height first, one at a time, each once; a share leaves only after it was saved ▲.
2. Shares are taken from their signer's own link only, one per validator and height, for heights that are open here or
   shortly ahead; everything kept is bounded by the constants below.
3. A certificate is formed of shares that agree with the own attestation: aggregated first and verified once; only if
   that fails are they verified one by one, and whoever sent a bad one is checked first from then on.
4. A valid certificate that contradicts the own execution stops the process: `BrokenInvariant`.
5. Everything below a certified height is attested, too (roots are cumulative), yet each due height gets a certificate
   of its own: one that lags is asked for, and after the second asking signed, so that it cannot stay open for ever.
"""

from collections.abc import Iterator, Sequence
from typing import assert_never

from consensus.errors import BrokenInvariant
from consensus.genesis import Genesis
from consensus.numbers import GENESIS_HEIGHT, Height, ValidatorIndex
from consensus.vocabulary.attestation import Attestation, AttestationCertificate, AttestationShare
from sequencer.attesting import effects, events
from sequencer.attesting.effects import Effect
from sequencer.attesting.events import Event
from sequencer.attesting.shares import HeightShares

OPEN_HEIGHTS_MAX = 1_024  # due and not certified; beyond it the lowest is given up, which a later certificate covers
AHEAD_HEIGHTS_MAX = 1_024  # how far above the newest due height a share may be
AHEAD_SHARES_MAX = 64  # per validator, above the newest due height
CERTIFIED_KEPT_MAX = 128  # certified heights whose shares are kept, to notice a signer's second attestation
RETRIES_MAX = 64  # heights that get a turn of asking and sending again per period
CERTIFICATES_CHECKED_MAX = 64  # received ones of one sender in verification at a time


class AttestationCore:
    """The attestations of one node; `own_index` is None for a node that is no validator."""

    def __init__(
        self,
        chain: Genesis,
        own_index: ValidatorIndex | None,
        restored: Sequence[AttestationShare] = (),
        certified_height: Height = GENESIS_HEIGHT,
        synced_height: Height = GENESIS_HEIGHT,
    ) -> None:
        """`restored`: own saved shares of heights without a stored certificate, rising, at most OPEN_HEIGHTS_MAX.

        The shell then tells `AttestationDue` again for every executed height above `certified_height`.
        """
        self._validators = chain.validator_set
        self._own_index = own_index
        self._certified_height = certified_height
        self._synced_height = synced_height
        self._due_height = GENESIS_HEIGHT
        self._signing: Height | None = None
        self._open: dict[Height, HeightShares] = {}
        self._ahead: dict[ValidatorIndex, dict[Height, AttestationShare]] = {}
        self._closed: dict[Height, HeightShares] = {}
        self._distrusted: set[ValidatorIndex] = set()
        self._convicted: dict[ValidatorIndex, tuple[AttestationShare, AttestationShare]] = {}
        self._checked_alone: set[ValidatorIndex] = set()
        self._checked_certificates: dict[tuple[ValidatorIndex, Height], AttestationCertificate] = {}
        for share in restored:
            height = share.attestation.height
            self._due_height = max(self._due_height, height)
            entry = self._open[height] = HeightShares(height, share.attestation, own=share)
            entry.confirm(share)

    @property
    def certified_height(self) -> Height:
        """The highest height with a valid certificate: everything up to it is attested."""
        return self._certified_height

    @property
    def open_count(self) -> int:
        """Due heights without a certificate."""
        return len(self._open)

    @property
    def evidence(self) -> tuple[tuple[AttestationShare, AttestationShare], ...]:
        """E6: for each validator that signed two attestations of one height, the first such pair."""
        return tuple(self._convicted.values())

    def step(self, event: Event) -> list[Effect]:
        """The effects of an event, in order. Raises `BrokenInvariant`."""
        return list(self._effects(event))

    def _effects(self, event: Event) -> Iterator[Effect]:
        match event:
            case events.AttestationDue(attestation):
                yield from self._open_height(attestation)
            case events.BytesSynced(height):
                self._synced_height = max(self._synced_height, height)
                yield from self._sign_next()
            case events.AttestationSigned(share):
                yield effects.SaveShare(share)
            case events.ShareSaved(share):
                yield from self._send_own(share)
            case events.ShareReceived(share, sender):
                yield from self._receive(share, sender)
            case events.SharesAggregated(attestation, certificate):
                yield from self._conclude(attestation, certificate)
            case events.SharesVerified(good, bad):
                yield from self._sort_out(good, bad)
            case events.CertificateReceived(certificate, sender):
                yield from self._check_certificate(certificate, sender)
            case events.CertificateVerified(certificate, sender, is_valid):
                yield from self._take_certificate(certificate, sender, is_valid=is_valid)
            case events.PeerConnected(validator):
                yield from self._catch_up_peer(validator)
            case events.RetryPeriodPassed():
                yield from self._retry()
            case _:
                assert_never(event)

    # own attestations

    def _open_height(self, attestation: Attestation) -> Iterator[Effect]:
        height = attestation.height
        entry = self._open.get(height) or self._closed.get(height) or HeightShares(height)
        if entry.attestation is not None and entry.attestation != attestation:
            raise BrokenInvariant(f"execution gives another attestation of height {height} than before")
        if entry.attestation is not None:
            return
        entry.attestation = attestation
        _require_agreement(entry)
        self._due_height = max(self._due_height, height)
        waiting = self._take_ahead(height)
        if entry.certificate is not None:
            return
        self._open[height] = entry
        while len(self._open) > OPEN_HEIGHTS_MAX:
            del self._open[min(self._open)]
        yield from self._sign_next()
        for share in waiting:
            yield from self._add(entry, share)

    def _take_ahead(self, height: Height) -> list[AttestationShare]:
        """The shares that came early for a height; those for lower heights are forgotten: they are not attested."""
        found = []
        for shares in self._ahead.values():
            for passed in [other for other in shares if other <= height]:
                share = shares.pop(passed)
                if passed == height:
                    found.append(share)
        return found

    def _sign_next(self) -> Iterator[Effect]:
        """Starts on the lowest height that is to be signed, if none is being signed."""
        if self._own_index is None or self._signing is not None:
            return
        for height in sorted(self._open):
            if height > self._synced_height:
                return
            entry = self._open[height]
            if entry.own is None and entry.attestation and (height > self._certified_height or entry.retries > 1):
                self._signing = height
                yield effects.SignAttestation(entry.attestation)
                return

    def _send_own(self, share: AttestationShare) -> Iterator[Effect]:
        self._signing = None
        yield effects.SendShare(share, None)
        entry = self._open.get(share.attestation.height)
        if entry is not None:
            entry.own = share
            entry.confirm(share)
            yield from self._aggregate(entry)
        yield from self._sign_next()

    # others' shares

    def _receive(self, share: AttestationShare, sender: ValidatorIndex) -> Iterator[Effect]:
        height = share.attestation.height
        if share.validator != sender:
            yield effects.BlameValidator(sender, "foreign_share")
            return
        if sender == self._own_index or sender in self._convicted:
            return
        entry = self._open.get(height)
        closed = self._closed.get(height)
        if entry is not None:
            yield from self._add(entry, share)
        elif closed is not None and (kept := closed.conflicting(share)) is not None:
            yield from self._check_alone(kept, share)
        elif height <= self._certified_height:
            yield effects.SendCertificate(height, sender)
        elif self._due_height < height <= self._due_height + AHEAD_HEIGHTS_MAX:
            ahead = self._ahead.setdefault(sender, {})
            if len(ahead) < AHEAD_SHARES_MAX:
                ahead.setdefault(height, share)

    def _add(self, entry: HeightShares, share: AttestationShare) -> Iterator[Effect]:
        kept = entry.conflicting(share)
        if kept is not None:
            yield from self._check_alone(kept, share)
        elif share.validator in self._distrusted and share.validator not in entry.shares:
            yield from self._check_alone(share)
        else:
            entry.add(share)
            yield from self._aggregate(entry)

    def _check_alone(self, *shares: AttestationShare) -> Iterator[Effect]:
        """Has one validator's shares verified before they count; one such check per validator at a time."""
        validator = shares[0].validator
        if validator not in self._checked_alone:
            self._checked_alone.add(validator)
            yield effects.VerifyShares(shares)

    def _aggregate(self, entry: HeightShares) -> Iterator[Effect]:
        if entry.aggregating or entry.suspects or entry.certificate is not None or entry.attestation is None:
            return
        shares = entry.quorum(self._validators)
        if shares is not None:
            entry.aggregating = shares
            yield effects.AggregateShares(entry.attestation, shares)

    def _conclude(self, attestation: Attestation, certificate: AttestationCertificate | None) -> Iterator[Effect]:
        entry = self._open.get(attestation.height)
        if entry is None:
            return
        aggregated, entry.aggregating = entry.aggregating, ()
        if certificate is not None:
            yield from self._certify(certificate)
        elif suspects := entry.unverified():
            entry.suspects = {share.validator for share in suspects}
            yield effects.VerifyShares(suspects)
        elif aggregated and aggregated == entry.quorum(self._validators):
            raise BrokenInvariant("shares that are valid one by one do not add up")
        else:  # a bad one was found meanwhile; its sender is distrusted, so this ends
            yield from self._aggregate(entry)

    def _sort_out(self, good: tuple[AttestationShare, ...], bad: tuple[AttestationShare, ...]) -> Iterator[Effect]:
        touched: dict[Height, HeightShares] = {}
        for share in (*bad, *good):
            height, validator = share.attestation.height, share.validator
            self._checked_alone.discard(validator)
            entry = self._open.get(height) or self._closed.get(height) or HeightShares(height)
            entry.suspects.discard(validator)
            touched[height] = entry
            if share in bad:
                entry.discard(share)
                self._distrusted.add(validator)
                yield effects.BlameValidator(validator, "bad_share")
            elif (other := entry.confirm(share)) is not None and validator not in self._convicted:
                self._convicted[validator] = (other, share)
                yield effects.RecordEvidence(other, share)
        for entry in touched.values():
            yield from self._aggregate(entry)

    # certificates

    def _check_certificate(self, certificate: AttestationCertificate, sender: ValidatorIndex) -> Iterator[Effect]:
        height = certificate.attestation.height
        is_wanted = height in self._open or height > self._certified_height
        in_check = [other for other, _ in self._checked_certificates if other == sender]
        if (
            not is_wanted
            or sender in self._distrusted
            or (sender, height) in self._checked_certificates
            or len(in_check) >= CERTIFICATES_CHECKED_MAX
        ):
            return
        self._checked_certificates[sender, height] = certificate
        yield effects.VerifyCertificate(certificate, sender)

    def _take_certificate(
        self, certificate: AttestationCertificate, sender: ValidatorIndex, *, is_valid: bool
    ) -> Iterator[Effect]:
        height = certificate.attestation.height
        self._checked_certificates.pop((sender, height), None)
        if not is_valid:
            self._distrusted.add(sender)
            yield effects.BlameValidator(sender, "bad_certificate")
        elif height in self._open or height > self._certified_height:
            yield from self._certify(certificate)

    def _certify(self, certificate: AttestationCertificate) -> Iterator[Effect]:
        height = certificate.attestation.height
        entry = self._open.pop(height, None) or HeightShares(height)
        entry.certificate = certificate
        _require_agreement(entry)
        self._closed[height] = entry
        if len(self._closed) > CERTIFIED_KEPT_MAX:
            del self._closed[min(self._closed)]
        self._certified_height = max(self._certified_height, height)
        yield effects.SaveCertificate(certificate)

    # after a reconnection, and now and then

    def _catch_up_peer(self, validator: ValidatorIndex) -> Iterator[Effect]:
        if self._certified_height > GENESIS_HEIGHT:
            yield effects.SendCertificate(self._certified_height, validator)
        for height in sorted(self._open):
            own = self._open[height].own
            if own is not None:
                yield effects.SendShare(own, validator)

    def _retry(self) -> Iterator[Effect]:
        """Gives the heights with the fewest turns so far one more; asks ever more rarely for what nobody has."""
        turns = sorted(self._open.values(), key=lambda entry: (entry.retries, entry.height))[:RETRIES_MAX]
        for entry in turns:
            entry.retries += 1
            is_power_of_two = entry.retries & (entry.retries - 1) == 0
            if entry.height < self._certified_height and is_power_of_two:
                yield effects.RequestCertificate(entry.height)
            if entry.own is not None and entry.retries > 1:
                yield effects.SendShare(entry.own, None)
        yield from self._sign_next()


def _require_agreement(entry: HeightShares) -> None:
    """Raises unless a valid certificate says what this node executed."""
    attestation, certificate = entry.attestation, entry.certificate
    if attestation is not None and certificate is not None and certificate.attestation != attestation:
        raise BrokenInvariant(f"more than 2/3 of the stake attest height {entry.height} otherwise than executed")
