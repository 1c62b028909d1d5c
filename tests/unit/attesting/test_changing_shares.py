"""Shares come and go while a sum is being checked: only valid shares whose sum fails are a fault of ours.

Every piece of BLS work is carried out when the test says so, as a shell's queue may delay it.
"""

from dataclasses import replace

import pytest

from consensus.errors import BrokenInvariant
from consensus.numbers import GENESIS_EPOCH, BlockId, Hash, Height, ValidatorIndex
from consensus.vocabulary.attestation import Attestation, AttestationShare
from sequencer.attesting import certify, effects, events
from sequencer.attesting.attest import AttestationCore
from sequencer.attesting.effects import Effect
from tests.committee import Committee

QUORUM = 5


@pytest.fixture(scope="module")
def committee() -> Committee:
    return Committee(stakes=(1,) * 7)


def attestation(root: int = 1) -> Attestation:
    return Attestation(GENESIS_EPOCH, Height(1), BlockId(bytes(32)), Hash(bytes([root]) * 32))


class Round:
    """One due height of a core, whose own share is there from the start."""

    def __init__(self, committee: Committee) -> None:
        self.committee, self.chain = committee, committee.chain
        own = self.share(0)
        self.core = AttestationCore(committee.chain, ValidatorIndex(0), (own,))

    def share(self, validator: int, root: int = 1) -> AttestationShare:
        key = self.committee.bls_keys[validator]
        return certify.sign_attestation(self.chain, key, ValidatorIndex(validator), attestation(root))

    def bad_share(self, validator: int) -> AttestationShare:
        return replace(self.share(validator, root=9), attestation=attestation())

    def receive(self, *shares: AttestationShare) -> list[Effect]:
        return [effect for share in shares for effect in self.core.step(events.ShareReceived(share, share.validator))]

    def carry_out(self, effect: Effect) -> list[Effect]:
        match effect:
            case effects.AggregateShares():
                return self.core.step(certify.aggregate_shares(self.chain, effect))
            case effects.VerifyShares():
                return self.core.step(certify.verify_shares(self.chain, effect))
            case _:
                pytest.fail(f"{effect} is no work")


def blame(validator: int) -> Effect:
    return effects.BlameValidator(ValidatorIndex(validator), "bad_share")


def is_certified(done: list[Effect]) -> bool:
    return [type(effect) for effect in done] == [effects.SaveCertificate]


def test_a_bad_share_that_is_withdrawn_while_it_is_summed_stops_nothing(committee: Committee) -> None:
    height = Round(committee)
    assert height.receive(height.share(1), height.share(2), height.share(3)) == []
    (first,) = height.receive(height.bad_share(5))
    (verify,) = height.carry_out(first)
    assert height.receive(height.bad_share(6)) == []
    (alone,) = height.receive(height.share(6, root=2))
    blamed, second = height.carry_out(verify)
    assert blamed == blame(5)
    assert height.carry_out(alone) == [blame(6)]
    assert height.carry_out(second) == []
    (third,) = height.receive(height.share(4))
    assert is_certified(height.carry_out(third))


def test_what_is_left_is_summed_again_if_it_is_a_quorum(committee: Committee) -> None:
    height = Round(committee)
    shares = [height.share(validator) for validator in range(1, QUORUM)]
    bad = height.bad_share(6)
    (first,) = height.receive(*shares[:-1], bad)
    assert height.receive(shares[-1]) == []
    assert height.core.step(events.SharesVerified(tuple(shares), (bad,))) == [blame(6)]
    (second,) = height.carry_out(first)
    assert is_certified(height.carry_out(second))


def test_valid_shares_that_do_not_add_up_stop_the_process(committee: Committee) -> None:
    height = Round(committee)
    (first,) = height.receive(*(height.share(validator) for validator in range(1, QUORUM)))
    failed = events.SharesAggregated(attestation(), None)
    (verify,) = height.core.step(failed)
    assert height.carry_out(verify) == [first]
    with pytest.raises(BrokenInvariant):
        height.core.step(failed)


def test_liars_cost_a_bounded_number_of_sums(committee: Committee) -> None:
    height = Round(committee)
    shares = [height.share(validator) for validator in range(1, QUORUM)]
    work = height.receive(*shares[:-1])
    sums = 0
    for _ in range(3):  # distrusted after the first time, they are checked alone
        work += height.receive(height.bad_share(5), height.share(5, root=2), height.bad_share(6))
        while work:
            effect = work.pop(0)
            sums += isinstance(effect, effects.AggregateShares)
            work += [] if isinstance(effect, effects.BlameValidator) else height.carry_out(effect)
    assert sums <= 2
    (last,) = height.receive(shares[-1])
    assert is_certified(height.carry_out(last))
