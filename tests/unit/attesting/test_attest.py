"""The attestation core with real signatures: when it signs, what it counts, whom it accuses, what it keeps."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from consensus.errors import BrokenInvariant
from consensus.numbers import GENESIS_EPOCH, BlockId, Hash, Height, ValidatorIndex
from consensus.vocabulary.attestation import Attestation, AttestationCertificate, AttestationShare, make_certificate
from sequencer.attesting import certify, effects, events
from sequencer.attesting.attest import (
    AHEAD_HEIGHTS_MAX,
    AHEAD_SHARES_MAX,
    CERTIFIED_KEPT_MAX,
    OPEN_HEIGHTS_MAX,
    RETRIES_MAX,
    AttestationCore,
)
from sequencer.attesting.effects import Effect
from sequencer.attesting.events import Event
from tests.committee import Committee

OWN = ValidatorIndex(0)


@pytest.fixture(scope="module")
def committee() -> Committee:
    return Committee()


def attestation(height: int, root: int = 1) -> Attestation:
    return Attestation(GENESIS_EPOCH, Height(height), BlockId(height.to_bytes(32, "big")), Hash(bytes([root]) * 32))


class Shell:
    """Carries BLS and disk effects out at once, and keeps what would go out."""

    def __init__(self, committee: Committee, core: AttestationCore, own: int = OWN) -> None:
        self.committee, self.core, self.own = committee, core, own
        self.chain = committee.chain
        self.out: list[Effect] = []
        self.work: list[Effect] = []  # BLS and disk effects, in the order they were carried out

    def tell(self, *told: Event) -> "Shell":
        for event in told:
            for effect in self.core.step(event):
                answer = self.carry_out(effect)
                if answer is None:
                    self.out.append(effect)
                else:
                    self.work.append(effect)
                    self.tell(answer)
        return self

    def carry_out(self, effect: Effect) -> Event | None:
        match effect:
            case effects.SignAttestation(item):
                return events.AttestationSigned(self.share(self.own, item))
            case effects.SaveShare(share):
                return events.ShareSaved(share)
            case effects.AggregateShares():
                return certify.aggregate_shares(self.chain, effect)
            case effects.VerifyShares():
                return certify.verify_shares(self.chain, effect)
            case effects.VerifyCertificate():
                return certify.verify_certificate(self.chain, effect)
            case _:
                return None

    def share(self, validator: int, item: Attestation) -> AttestationShare:
        key = self.committee.bls_keys[validator]
        return certify.sign_attestation(self.chain, key, ValidatorIndex(validator), item)

    def receive(self, validator: int, item: Attestation) -> "Shell":
        return self.tell(events.ShareReceived(self.share(validator, item), ValidatorIndex(validator)))

    def receive_bad(self, validator: int, item: Attestation) -> "Shell":
        bad = replace(self.share(validator, attestation(999)), attestation=item)
        return self.tell(events.ShareReceived(bad, ValidatorIndex(validator)))

    def due(self, *heights: int) -> "Shell":
        for height in heights:
            self.tell(events.AttestationDue(attestation(height)), events.BytesSynced(Height(height)))
        return self

    def certificate(self, height: int, signers: Sequence[int] = (1, 2, 3), root: int = 1) -> AttestationCertificate:
        item = attestation(height, root)
        signatures = {ValidatorIndex(index): self.share(index, item).signature for index in signers}
        return make_certificate(item, signatures, self.committee.count)

    def sent(self, kind: type[Effect]) -> list[Effect]:
        return [effect for effect in self.out if isinstance(effect, kind)]

    def certified(self) -> list[int]:
        return [e.certificate.attestation.height for e in self.out if isinstance(e, effects.SaveCertificate)]

    def signed(self) -> list[int]:
        return [e.attestation.height for e in self.work if isinstance(e, effects.SignAttestation)]


@pytest.fixture
def shell(committee: Committee) -> Shell:
    return Shell(committee, AttestationCore(committee.chain, OWN))


def test_a_share_is_saved_before_it_leaves(committee: Committee) -> None:
    core = AttestationCore(committee.chain, OWN)
    assert core.step(events.AttestationDue(attestation(1))) == []
    assert core.step(events.BytesSynced(Height(1))) == [effects.SignAttestation(attestation(1))]
    share = Shell(committee, core).share(OWN, attestation(1))
    assert core.step(events.AttestationSigned(share)) == [effects.SaveShare(share)]
    assert core.step(events.ShareSaved(share)) == [effects.SendShare(share, None)]


def test_nothing_is_signed_whose_bytes_are_not_synced(shell: Shell) -> None:
    shell.tell(events.AttestationDue(attestation(3)), events.BytesSynced(Height(2)))
    assert shell.signed() == []
    assert shell.tell(events.BytesSynced(Height(3))).signed() == [3]


def test_heights_are_signed_lowest_first_one_at_a_time(committee: Committee) -> None:
    core = AttestationCore(committee.chain, OWN)
    for height in (2, 5, 9):
        core.step(events.AttestationDue(attestation(height)))
    assert core.step(events.BytesSynced(Height(9))) == [effects.SignAttestation(attestation(2))]
    shell = Shell(committee, core)
    assert shell.tell(events.AttestationSigned(shell.share(OWN, attestation(2)))).signed() == [5, 9]


def test_a_quorum_of_shares_makes_a_certificate_with_one_verification(shell: Shell, committee: Committee) -> None:
    shell.due(4).receive(1, attestation(4))
    assert shell.certified() == []
    shell.receive(2, attestation(4))
    (saved,) = shell.sent(effects.SaveCertificate)
    assert isinstance(saved, effects.SaveCertificate)
    saved.certificate.check(committee.chain)
    assert saved.certificate.signers == (0, 1, 2)
    assert shell.core.certified_height == 4
    assert not any(isinstance(effect, effects.VerifyShares) for effect in shell.work)


def test_shares_that_come_before_execution_count_once_it_is_there(shell: Shell) -> None:
    shell.receive(1, attestation(4)).receive(2, attestation(4)).receive(3, attestation(4))
    assert shell.certified() == []
    assert shell.due(4).certified() == [4]


def test_one_bad_share_does_not_stop_a_certificate(shell: Shell) -> None:
    shell.due(4).receive_bad(1, attestation(4)).receive(2, attestation(4))
    assert shell.certified() == []
    assert shell.sent(effects.BlameValidator) == [effects.BlameValidator(ValidatorIndex(1), "bad_share")]
    assert shell.receive(3, attestation(4)).certified() == [4]


def test_who_sent_a_bad_share_is_checked_first_from_then_on(shell: Shell) -> None:
    shell.due(4).receive_bad(1, attestation(4)).receive(2, attestation(4)).receive(3, attestation(4))
    shell.work.clear()
    shell.due(5).receive_bad(1, attestation(5)).receive(2, attestation(5)).receive(3, attestation(5))
    failed = [effect for effect in shell.work if isinstance(effect, effects.VerifyShares)]
    assert [[share.validator for share in effect.shares] for effect in failed] == [[1]]  # alone, no failed aggregate
    assert sum(isinstance(effect, effects.AggregateShares) for effect in shell.work) == 1
    assert shell.certified() == [4, 5]
    shell.due(6).receive(1, attestation(6)).receive(2, attestation(6))
    assert shell.certified() == [4, 5, 6]  # its good share counts after its check


def test_shares_that_arrive_while_bad_ones_are_sought_are_not_lost(committee: Committee) -> None:
    committee = Committee(stakes=(1,) * 7)
    core = AttestationCore(committee.chain, OWN)
    shell = Shell(committee, core)
    shell.due(1)
    bad = replace(shell.share(1, attestation(999)), attestation=attestation(1))
    core.step(events.ShareReceived(bad, ValidatorIndex(1)))
    core.step(events.ShareReceived(shell.share(2, attestation(1)), ValidatorIndex(2)))
    core.step(events.ShareReceived(shell.share(3, attestation(1)), ValidatorIndex(3)))
    (aggregate,) = core.step(events.ShareReceived(shell.share(4, attestation(1)), ValidatorIndex(4)))
    assert isinstance(aggregate, effects.AggregateShares)
    (verify,) = core.step(certify.aggregate_shares(committee.chain, aggregate))
    assert isinstance(verify, effects.VerifyShares)
    assert [share.validator for share in verify.shares] == [1, 2, 3, 4]  # the own one needs no check
    late = shell.share(5, attestation(1))
    assert core.step(events.ShareReceived(late, ValidatorIndex(5))) == []
    shell.tell(certify.verify_shares(committee.chain, verify))
    assert shell.certified() == [1]


def test_a_share_is_taken_from_its_signers_link_only(shell: Shell) -> None:
    shell.due(4)
    shell.tell(events.ShareReceived(shell.share(1, attestation(4)), ValidatorIndex(2)))
    assert shell.sent(effects.BlameValidator) == [effects.BlameValidator(ValidatorIndex(2), "foreign_share")]
    shell.receive(3, attestation(4))
    assert shell.certified() == []


def test_shares_of_another_attestation_do_not_count(shell: Shell) -> None:
    shell.due(4).receive(1, attestation(4, root=9)).receive(2, attestation(4, root=9)).receive(3, attestation(4))
    assert shell.certified() == []


@pytest.mark.parametrize("first_root", [1, 9])
def test_two_attestations_of_one_height_are_evidence(shell: Shell, first_root: int) -> None:
    first, second = attestation(4, first_root), attestation(4, 10 - first_root)
    shell.due(4).receive(1, first).receive(1, second).receive(1, second)
    pair = (shell.share(1, first), shell.share(1, second))
    assert shell.sent(effects.RecordEvidence) == [effects.RecordEvidence(*pair)]
    assert shell.core.evidence == (pair,)
    assert shell.receive(1, attestation(5, 1)).sent(effects.RecordEvidence) == [effects.RecordEvidence(*pair)]


def test_a_second_attestation_of_a_certified_height_is_evidence(shell: Shell) -> None:
    shell.due(4).receive(1, attestation(4)).receive(2, attestation(4))
    assert shell.certified() == [4]
    shell.receive(1, attestation(4, root=9))
    assert [pair[0].validator for pair in shell.core.evidence] == [1]


def test_an_unsigned_second_attestation_convicts_nobody(shell: Shell) -> None:
    shell.due(4).receive(1, attestation(4)).receive_bad(1, attestation(4, root=9))
    assert shell.core.evidence == ()
    assert shell.receive(2, attestation(4)).certified() == [4]  # the first share was good and still counts


def test_a_bad_share_is_replaced_by_a_good_one(shell: Shell) -> None:
    shell.due(4).receive_bad(1, attestation(4, root=9)).receive(1, attestation(4)).receive(2, attestation(4))
    assert shell.certified() == [4]
    assert shell.core.evidence == ()


def test_a_certificate_that_contradicts_execution_stops_the_process(shell: Shell) -> None:
    shell.due(4)
    with pytest.raises(BrokenInvariant):
        shell.tell(events.CertificateReceived(shell.certificate(4, root=9), ValidatorIndex(1)))


def test_execution_that_contradicts_an_earlier_certificate_stops_the_process(shell: Shell) -> None:
    shell.tell(events.CertificateReceived(shell.certificate(4, root=9), ValidatorIndex(1)))
    assert shell.core.certified_height == 4
    with pytest.raises(BrokenInvariant):
        shell.due(4)


def test_a_height_that_is_certified_before_it_is_executed_needs_nothing_more(shell: Shell) -> None:
    shell.tell(events.CertificateReceived(shell.certificate(4), ValidatorIndex(1)))
    shell.due(4).tell(events.RetryPeriodPassed(), events.RetryPeriodPassed())
    assert (shell.core.open_count, shell.signed(), shell.certified()) == (0, [], [4])
    assert shell.sent(effects.RequestCertificate) == []


def test_a_due_height_is_never_signed_twice_with_different_content(shell: Shell) -> None:
    shell.due(4)
    with pytest.raises(BrokenInvariant):
        shell.tell(events.AttestationDue(attestation(4, root=2)))


def test_a_bad_certificate_is_blamed_and_its_sender_not_believed_again(shell: Shell) -> None:
    shell.due(4)
    bad = replace(shell.certificate(4), signers=(ValidatorIndex(0), ValidatorIndex(1), ValidatorIndex(2)))
    shell.tell(events.CertificateReceived(bad, ValidatorIndex(3)))
    assert shell.sent(effects.BlameValidator) == [effects.BlameValidator(ValidatorIndex(3), "bad_certificate")]
    shell.work.clear()
    shell.tell(events.CertificateReceived(bad, ValidatorIndex(3)))
    assert shell.work == []
    assert shell.tell(events.CertificateReceived(shell.certificate(4), ValidatorIndex(1))).certified() == [4]


def test_a_node_that_lags_asks_before_it_signs(shell: Shell) -> None:
    shell.tell(events.CertificateReceived(shell.certificate(9), ValidatorIndex(1)))
    shell.due(4)
    assert shell.signed() == []
    shell.tell(events.RetryPeriodPassed())
    assert shell.sent(effects.RequestCertificate) == [effects.RequestCertificate(Height(4))]
    shell.tell(events.CertificateReceived(shell.certificate(4), ValidatorIndex(1)))
    assert shell.certified() == [9, 4]
    assert shell.core.certified_height == 9
    assert shell.core.open_count == 0


def test_a_lagging_height_that_nobody_has_certified_is_signed_in_the_end(shell: Shell) -> None:
    shell.tell(events.CertificateReceived(shell.certificate(9), ValidatorIndex(1)))
    shell.due(4).tell(events.RetryPeriodPassed(), events.RetryPeriodPassed())
    assert shell.signed() == [4]


def test_what_nobody_has_is_asked_for_ever_more_rarely(shell: Shell) -> None:
    shell.tell(events.CertificateReceived(shell.certificate(9), ValidatorIndex(1)))
    shell.due(4)
    asked = []
    for _ in range(20):
        shell.out.clear()
        asked.append(len(shell.tell(events.RetryPeriodPassed()).sent(effects.RequestCertificate)))
    assert [period for period, count in enumerate(asked, 1) if count] == [1, 2, 4, 8, 16]


def test_every_open_height_gets_its_turn_and_a_period_is_bounded(committee: Committee) -> None:
    core = AttestationCore(committee.chain, None)
    for height in range(1, 2 * RETRIES_MAX + 1):
        core.step(events.AttestationDue(attestation(height)))
    high = AttestationCertificate(attestation(999), (), bytes(96), committee.count)
    core.step(events.CertificateVerified(high, ValidatorIndex(1), is_valid=True))
    first, second = core.step(events.RetryPeriodPassed()), core.step(events.RetryPeriodPassed())
    assert len(first) == len(second) == RETRIES_MAX
    assert set(first) | set(second) == {effects.RequestCertificate(Height(h)) for h in range(1, 2 * RETRIES_MAX + 1)}


def test_own_shares_are_sent_again_until_they_are_certified(shell: Shell) -> None:
    shell.due(4, 5)
    four, five = shell.share(OWN, attestation(4)), shell.share(OWN, attestation(5))
    shell.out.clear()
    shell.tell(events.PeerConnected(ValidatorIndex(2)))
    assert shell.out == [effects.SendShare(four, ValidatorIndex(2)), effects.SendShare(five, ValidatorIndex(2))]
    shell.receive(1, attestation(4)).receive(2, attestation(4))
    shell.out.clear()
    shell.tell(events.PeerConnected(ValidatorIndex(3)))
    assert shell.out == [
        effects.SendCertificate(Height(4), ValidatorIndex(3)),
        effects.SendShare(five, ValidatorIndex(3)),
    ]
    shell.out.clear()
    shell.tell(events.RetryPeriodPassed(), events.RetryPeriodPassed())
    assert shell.out == [effects.SendShare(five, None)]


def test_a_restarted_node_sends_its_saved_shares_and_signs_nothing_twice(committee: Committee, shell: Shell) -> None:
    shell.due(4, 5)
    saved = [e.share for e in shell.work if isinstance(e, effects.SaveShare)]
    again = Shell(committee, AttestationCore(committee.chain, OWN, restored=saved, synced_height=Height(5)))
    again.tell(events.AttestationDue(attestation(4)), events.AttestationDue(attestation(5)))
    assert again.signed() == []
    again.tell(events.PeerConnected(ValidatorIndex(1)))
    assert again.out == [effects.SendShare(share, ValidatorIndex(1)) for share in saved]
    with pytest.raises(BrokenInvariant):
        again.tell(events.AttestationDue(attestation(5, root=2)))
    assert again.receive(1, attestation(4)).receive(3, attestation(4)).certified() == [4]


def test_a_peer_that_still_sends_shares_of_a_certified_height_gets_the_certificate(shell: Shell) -> None:
    shell.due(4).receive(1, attestation(4)).receive(2, attestation(4))
    shell.receive(3, attestation(4))
    assert shell.sent(effects.SendCertificate) == [effects.SendCertificate(Height(4), ValidatorIndex(3))]


def test_a_node_that_is_no_validator_gathers_and_never_signs(committee: Committee) -> None:
    shell = Shell(committee, AttestationCore(committee.chain, None))
    shell.due(4).receive(1, attestation(4)).receive(2, attestation(4)).receive(3, attestation(4))
    assert shell.signed() == []
    assert shell.certified() == [4]


def test_shares_far_ahead_and_many_ahead_are_not_kept(shell: Shell) -> None:
    shell.due(1)
    share = shell.share(1, attestation(1))
    for height in range(2, AHEAD_SHARES_MAX + 50):
        shell.tell(events.ShareReceived(replace(share, attestation=attestation(height)), ValidatorIndex(1)))
    far = replace(share, attestation=attestation(2 + AHEAD_HEIGHTS_MAX))
    shell.tell(events.ShareReceived(far, ValidatorIndex(2)))
    assert {validator: len(kept) for validator, kept in shell.core._ahead.items()} == {1: AHEAD_SHARES_MAX}
    shell.due(1 + AHEAD_SHARES_MAX)
    assert not any(shell.core._ahead.values())  # heights that were passed are not attested


def test_open_and_certified_heights_are_bounded(committee: Committee) -> None:
    core = AttestationCore(committee.chain, None)
    for height in range(1, OPEN_HEIGHTS_MAX + 10):
        core.step(events.AttestationDue(attestation(height)))
    assert core.open_count == OPEN_HEIGHTS_MAX
    signature = committee.bls_keys[0].sign(b"any")
    for height in range(10, 20 + CERTIFIED_KEPT_MAX):
        certificate = AttestationCertificate(attestation(height), (), signature, committee.count)
        core.step(events.CertificateVerified(certificate, ValidatorIndex(1), is_valid=True))
    assert len(core._closed) == CERTIFIED_KEPT_MAX


def test_unequal_stakes_decide_what_is_a_quorum(committee: Committee) -> None:
    weighted = Committee(stakes=(1, 5, 1, 1))
    shell = Shell(weighted, AttestationCore(weighted.chain, OWN))
    shell.due(1).receive(2, attestation(1)).receive(3, attestation(1))
    assert shell.certified() == []  # three of four validators, three of eight stake
    assert shell.receive(1, attestation(1)).certified() == [1]
