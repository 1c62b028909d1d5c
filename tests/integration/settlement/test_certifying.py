"""Asking validators for shares: when a quorum is one, and who is to blame for what."""

import pytest
import trio

from consensus.numbers import ValidatorIndex
from consensus.vocabulary.l1_batch import DataKind
from sequencer.node.certifying import RETRY_S, STRAGGLERS_S, TIMEOUT_S
from sequencer.settlement.errors import NoQuorum
from sequencer.settlement.sharing import ShareAnswer, ShareRequest, Word
from tests.memory_l1 import MemoryL1
from tests.settling_node import made_up_batch, settling_committee

STAKES = (4, 3, 2, 1)  # a quorum has 7
OWN = ValidatorIndex(0)


@pytest.fixture
def committee():
    return settling_committee(STAKES)


@pytest.fixture
def l1(committee):
    return MemoryL1(committee)


class Round:
    """Validators that sign one made-up batch, each in its own way."""

    def __init__(self, node, committee, l1):
        self.node, self.committee = node, committee
        self.batch = made_up_batch(l1)
        self.request = ShareRequest(1, self.batch.first, self.batch.last, self.batch.previous, b"")
        self.links = node.links
        self.ways = dict.fromkeys(range(1, 4), "signs")
        node.sharing.answer = lambda _: self._answer_of(OWN)
        for peer in self.ways:
            self.links.answers[peer] = lambda _, peer=peer: self._say(peer)

    def signed_by(self, index):
        signature = self.committee.bls_keys[index].sign(self.batch.signing_digest(self.committee.chain.domain))
        return ShareAnswer(Word.SHARES, ((DataKind.HELD, signature),))

    async def _answer_of(self, index):
        await trio.lowlevel.checkpoint()
        return self.signed_by(index)

    async def _say(self, peer):
        await trio.lowlevel.checkpoint()
        match self.ways[peer]:
            case "signs":
                return self.signed_by(peer).encode()
            case "signs another's":
                return self.signed_by((peer + 1) % 4).encode()
            case "signs with junk":
                return ShareAnswer(Word.SHARES, ((DataKind.HELD, bytes(96)),)).encode()
            case "signs calldata only":
                return ShareAnswer(Word.SHARES, ((DataKind.CALLDATA, bytes(96)),)).encode()
            case "babbles":
                return b"\xff" * 9
            case Word() as word:
                return ShareAnswer(word).encode()

    async def certify(self, is_outdated=lambda: False):
        return await self.node.certifying.certify(self.request, self.batch, is_outdated)


@pytest.fixture
def round_(make_node, committee, l1):
    return Round(make_node(l1, index=OWN), committee, l1)


async def test_all_sign_and_stand_in_the_certificate(round_, committee, autojump_clock):
    certificate = await round_.certify()
    certificate.check(committee.chain)
    assert certificate.batch == round_.batch
    assert certificate.signers == (0, 1, 2, 3)
    assert trio.current_time() < RETRY_S


@pytest.mark.parametrize(
    ("silent", "signers"),
    [
        ({2, 3}, (0, 1)),  # 7 of 10
        ({3}, (0, 1, 2)),
        ({1}, (0, 2, 3)),  # 7 of 10, with one more
    ],
)
async def test_a_quorum_is_counted_in_stake_and_not_kept_waiting(round_, committee, silent, signers, autojump_clock):
    round_.links.silent = silent
    start = trio.current_time()
    certificate = await round_.certify()
    certificate.check(committee.chain)
    assert certificate.signers == signers
    assert trio.current_time() - start <= STRAGGLERS_S + 0.01


@pytest.mark.parametrize("silent", [{1, 2}, {1, 3}, {1, 2, 3}])
async def test_less_than_a_quorum_is_none(round_, silent, autojump_clock):
    round_.links.silent = silent
    start = trio.current_time()
    with pytest.raises(NoQuorum) as raised:
        await round_.certify()
    assert trio.current_time() - start == pytest.approx(TIMEOUT_S)
    assert raised.value.answers["no_answer"] >= len(silent)
    assert raised.value.answers["shares"] == 4 - len(silent)
    assert round_.links.accused == []  # an absent validator is not at fault


@pytest.mark.parametrize("way", ["signs another's", "signs with junk"])
async def test_a_share_that_does_not_fit_counts_for_nothing_and_closes_no_link(round_, way, autojump_clock):
    round_.ways[1] = way
    round_.links.silent = {2}
    with pytest.raises(NoQuorum) as raised:
        await round_.certify()
    assert raised.value.answers["bad_share"] > 1  # it is asked again: its configuration may get better
    assert round_.links.accused == []


async def test_who_babbles_is_accused(round_, committee, autojump_clock):
    round_.ways[3] = "babbles"
    certificate = await round_.certify()
    assert certificate.signers == (0, 1, 2)
    assert round_.links.accused == [(3, "malformed")]


@pytest.mark.parametrize("word", [Word.MISMATCH, Word.BEHIND, Word.BUSY, Word.COMMITTED])
async def test_who_does_not_sign_is_counted_and_asked_again(round_, word, autojump_clock):
    round_.ways[1] = word

    async def change_mind():
        await trio.sleep(3.5 * RETRY_S)
        round_.ways[1] = "signs"

    round_.links.silent = {2}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(change_mind)
        certificate = await round_.certify()
    assert certificate.signers == (0, 1, 3)
    assert round_.links.asked.count(1) == 5


async def test_words_are_told_when_no_quorum_comes(round_, autojump_clock):
    round_.ways |= {1: Word.MISMATCH, 2: Word.BEHIND}
    with pytest.raises(NoQuorum, match=r"behind \d+, mismatch \d+, shares 2"):
        await round_.certify()


async def test_a_share_of_other_data_is_not_taken(round_, autojump_clock):
    round_.ways |= dict.fromkeys((1, 2, 3), "signs calldata only")
    with pytest.raises(NoQuorum):
        await round_.certify()


async def test_a_validator_that_connects_later_is_asked_then(round_, autojump_clock):
    round_.links.disconnected = {1, 2}

    async def connect():
        await trio.sleep(5)
        assert set(round_.links.asked) == {3}
        round_.links.disconnected.clear()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(connect)
        certificate = await round_.certify()
    assert 0 in certificate.signers
    assert {1, 2} & set(certificate.signers)


async def test_it_ends_when_somebody_else_committed_the_index(round_, autojump_clock):
    round_.links.silent = {1, 2, 3}
    start = trio.current_time()

    def is_outdated():
        return trio.current_time() > start + 3.5

    with pytest.raises(NoQuorum):
        await round_.certify(is_outdated)
    assert trio.current_time() - start <= 3.5 + RETRY_S


async def test_whoever_signed_is_not_asked_again(round_, autojump_clock):
    round_.ways |= {1: Word.BEHIND, 2: Word.BEHIND}
    with pytest.raises(NoQuorum):
        await round_.certify()
    assert round_.links.asked.count(3) == 1
    assert round_.links.asked.count(1) == round_.links.asked.count(2) == TIMEOUT_S / RETRY_S
