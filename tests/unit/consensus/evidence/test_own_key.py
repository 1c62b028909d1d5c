"""Statements of our own key: those that the record or this life knows pass, a true one of any other view stops us."""

from types import SimpleNamespace

import pytest

from consensus.errors import KeyUsedElsewhere
from consensus.evidence.own_key import OwnKey
from consensus.numbers import ValidatorIndex, View
from consensus.replica.events import (
    CertificateReceived,
    ProposalReceived,
    TimeoutReceived,
    TipReceived,
    TipsFetched,
    VoteReceived,
)
from tests.simulation.forge import Forge
from tests.simulation.keys import make_genesis

CHAIN = make_genesis((1, 1, 1, 1))
FORGE = Forge(CHAIN)
ME, PEER = ValidatorIndex(0), ValidatorIndex(1)
TIPS = FORGE.chain_of(40)
RECORDED = 10


def signed(voted: int, timed_out: int | None = None, proposed: int | None = None):
    return SimpleNamespace(
        me=ME,
        voted_view=View(voted),
        timeout_view=View(voted if timed_out is None else timed_out),
        proposed_view=View(voted if proposed is None else proposed),
    )


@pytest.fixture
def own_key():
    return OwnKey(CHAIN, signed(RECORDED))


def qc(view: int, signers=(0, 1, 2)):
    return FORGE.certify(TIPS[view - 1], signers=signers)


def received(certificate):
    return CertificateReceived(PEER, certificate)


def test_what_the_record_knows_passes(own_key):
    for view in range(1, RECORDED + 1):
        own_key.check(received(qc(view)))
        own_key.check(received(FORGE.tc_of(view, TIPS[0])))


def test_what_others_signed_passes(own_key):
    own_key.check(received(qc(20, signers=(1, 2, 3))))
    own_key.check(received(FORGE.tc(20, dict.fromkeys((1, 2, 3), TIPS[0]))))
    own_key.check(VoteReceived(PEER, FORGE.vote(TIPS[19].vote_body(View(20)), PEER)))


@pytest.mark.parametrize("name", ["QC", "TC", "entry", "highest", "proposal's entry", "justify", "fetched"])
def test_a_vote_or_timeout_above_the_record_stops_us_wherever_it_is_shown(own_key, name):
    by_others = FORGE.certify(TIPS[18], signers=(1, 2, 3))
    ours, timed_out = qc(20), FORGE.tc_of(20, TIPS[0])
    on_ours = FORGE.tip(21, ours, author=PEER)
    shown = {
        "QC": received(ours),
        "TC": received(timed_out),
        "entry": TimeoutReceived(PEER, FORGE.timeout(21, PEER, TIPS[0], timed_out)),
        "highest": TimeoutReceived(PEER, FORGE.timeout(21, PEER, ours, by_others)),
        "proposal's entry": ProposalReceived(
            PEER, FORGE.proposal(21, FORGE.tip(21, by_others, author=PEER), entry=timed_out)
        ),
        "justify": TipReceived(PEER, on_ours),
        "fetched": TipsFetched(PEER, on_ours.id, (on_ours,)),
    }
    with pytest.raises(KeyUsedElsewhere, match=r"view 20 that is signed with this validator's key.*register new keys"):
        own_key.check(shown[name])


def test_a_block_of_ours_above_the_record_stops_us(own_key):
    by_others = FORGE.certify(TIPS[18], signers=(1, 2, 3))
    with pytest.raises(KeyUsedElsewhere, match="a block of view 20"):
        own_key.check(TipReceived(PEER, FORGE.tip(20, by_others, author=ME)))


def test_a_signature_that_is_not_ours_stops_nobody(own_key):
    ours, by_others = qc(20), qc(20, signers=(1, 2, 3))
    false = type(ours)(ours.body, ours.signers, by_others.signatures, ours.count)
    own_key.check(received(false))
    tip = FORGE.sign_tip(FORGE.tip(20, by_others, author=ME), key=PEER)
    own_key.check(TipReceived(PEER, tip))


def test_what_this_life_signed_passes_and_what_lies_between_does_not(own_key):
    own_key.note(View(12), signed(RECORDED))  # nothing new was signed
    own_key.note(View(30), signed(31))  # entered 31 in this step, and signed there
    own_key.note(View(31), signed(35))
    for view in (30, 31, 33, 35):
        own_key.check(received(qc(view)))
        own_key.check(received(FORGE.tc_of(view, TIPS[0])))
    own_key.check(received(FORGE.tc_of(29, TIPS[0])))  # a timeout may be of the view before
    for view in (11, 28, 36):
        with pytest.raises(KeyUsedElsewhere):
            own_key.check(received(qc(view)))
        with pytest.raises(KeyUsedElsewhere):
            own_key.check(received(FORGE.tc_of(view, TIPS[0])))
