"""What makes an object acceptable: each rule with the object that breaks it alone."""

from dataclasses import replace

import pytest

from consensus.encoding import decode_whole
from consensus.errors import DecodeError, InvalidObject
from consensus.numbers import Epoch, Hash, Milliseconds, ValidatorIndex, View
from consensus.validity import Validity
from consensus.vocabulary.anchor import Anchor
from consensus.vocabulary.certificates import QC, TC, TimeoutBody
from consensus.vocabulary.messages import Proposal
from consensus.vocabulary.tip import Tip
from tests.simulation.forge import START_MS, Forge, no_block
from tests.simulation.keys import make_genesis, node_key

CHAIN = make_genesis((1, 1, 1, 1))
FORGE = Forge(CHAIN)
GENESIS_QC = FORGE.genesis_qc
LEADERS = [FORGE.leader(view) for view in range(1, 9)]


@pytest.fixture
def validity() -> Validity:
    return Validity(CHAIN)


def refused(reason: str):
    return pytest.raises(InvalidObject, match=f"^{reason}")


def resigned(proposal: Proposal, **changes: object) -> Proposal:
    """The proposal with changes, signed by its leader again."""
    changed = replace(proposal, **changes)  # type: ignore[arg-type]
    key = node_key(FORGE.leader(changed.view))
    return replace(changed, leader_sig=key.sign(changed.signing_digest(CHAIN)))


class TestQC:
    def test_a_quorum_of_signatures_is_valid_and_nothing_else_is_asked(self, validity):
        validity.check_qc(FORGE.certify(FORGE.tip(1, GENESIS_QC), signers=(1, 2, 3)))

    def test_one_signature_less_than_a_quorum(self, validity):
        with refused("no_quorum"):
            validity.check_qc(FORGE.certify(FORGE.tip(1, GENESIS_QC), signers=(1, 2)))

    def test_a_quorum_is_counted_in_stake(self):
        chain = make_genesis((4, 3, 2, 1))
        forge, validity = Forge(chain), Validity(chain)
        tip = forge.tip(1, forge.genesis_qc)
        validity.check_qc(forge.certify(tip, signers=(0, 1)))
        with refused("no_quorum"):
            validity.check_qc(forge.certify(tip, signers=(1, 2, 3)))

    def test_one_false_signature(self, validity):
        qc = FORGE.certify(FORGE.tip(1, GENESIS_QC))
        with refused("bad_signature"):
            validity.check_qc(replace(qc, signatures=(*qc.signatures[:2], qc.signatures[0])))

    def test_a_second_qc_for_a_body_that_is_known_to_be_valid_is_verified_all_the_same(self, validity):
        qc = FORGE.certify(FORGE.tip(1, GENESIS_QC))
        validity.check_qc(qc)
        with refused("bad_signature"):
            validity.check_qc(replace(qc, signatures=(bytes(65),) * 3))

    def test_bits_beyond_the_set_and_missing_signatures_do_not_decode(self):
        raw = FORGE.certify(FORGE.tip(1, GENESIS_QC)).encoded
        bits = len(GENESIS_QC.body.encode())
        for changed in (
            raw[:bits] + b"\xf0" + raw[bits + 1 :],
            raw[:bits] + b"\xe8" + raw[bits + 1 :],
            raw + raw[-65:],
        ):
            with pytest.raises(DecodeError):
                decode_whole(changed, lambda reader: QC.decode(reader, 4))

    def test_only_the_genesis_qc_itself_is_of_view_0(self, validity):
        validity.check_qc(GENESIS_QC)
        with refused("bad_genesis_qc"):
            validity.check_qc(replace(GENESIS_QC, body=replace(GENESIS_QC.body, ts_ms=Milliseconds(1))))

    def test_another_epoch(self, validity):
        body = replace(FORGE.tip(1, GENESIS_QC).vote_body(View(1)), epoch=Epoch(1))
        with refused("wrong_epoch"):
            validity.check_qc(FORGE.qc(body))

    @pytest.mark.parametrize(
        ("block_view", "justify_view"), [(3, 1), (2, 2), (1, 2)], ids=["made later", "on itself", "below its justify"]
    )
    def test_a_body_whose_views_cannot_be(self, validity, block_view, justify_view):
        body = replace(FORGE.tip(1, GENESIS_QC).vote_body(View(2)), block_view=block_view, justify_view=justify_view)
        with refused("vote_views"):
            validity.check_qc(FORGE.qc(body))
        with refused("vote_views"):
            validity.check_vote(FORGE.vote(body, 0))

    def test_a_bitmap_of_another_width(self, validity):
        with refused("no_quorum"):
            validity.check_qc(replace(FORGE.certify(FORGE.tip(1, GENESIS_QC)), count=12))

    def test_a_qc_of_another_chain(self, validity):
        other = Forge(make_genesis((1, 1, 1, 2)))
        with refused("bad_signature"):
            validity.check_qc(replace(other.certify(other.tip(1, other.genesis_qc), signers=(0, 1, 2)), count=4))


class TestTC:
    def test_its_high_is_the_body_of_highest_rank(self, validity):
        tips = FORGE.chain_of(3)
        certificate = FORGE.tc(3, {0: FORGE.certify(tips[1]), 1: tips[2], 3: tips[1]})
        validity.check_tc(certificate)
        assert certificate.high.tip_id == tips[2].id

    def test_a_tip_outranks_the_qc_of_the_view_below_it_and_not_the_qc_of_its_own(self):
        tips = FORGE.chain_of(3)
        qcs = [FORGE.certify(tip) for tip in tips]
        assert FORGE.tc(4, {0: qcs[1], 1: tips[2], 3: qcs[1]}).high.tip_id == tips[2].id
        assert FORGE.tc(4, {0: qcs[2], 1: tips[2], 3: tips[2]}).high.qc_view == 3
        assert not FORGE.tc(4, {0: qcs[2], 1: tips[2], 3: tips[2]}).high.names_tip

    def test_of_two_tips_of_a_view_the_one_on_the_higher_justify_outranks_the_other_whatever_their_ids(self):
        for label in "abcdefgh":
            low = TimeoutBody(Epoch(0), View(9), View(8), no_block(label), View(3))
            high = TimeoutBody(Epoch(0), View(9), View(8), no_block(label + "'"), View(5))
            assert FORGE.tc(9, {0: low, 1: high, 2: low}).high == high

    def test_on_a_tie_the_smaller_id_ranks_higher(self):
        first, second = sorted((no_block("a"), no_block("b")))
        bodies = [TimeoutBody(Epoch(0), View(9), View(8), block, View(5)) for block in (second, first, second)]
        assert FORGE.tc(9, dict(enumerate(bodies))).high.tip_id == first

    def test_signers_that_are_no_quorum(self, validity):
        with refused("no_quorum"):
            validity.check_tc(FORGE.tc(1, {0: GENESIS_QC, 2: GENESIS_QC}))

    def test_a_signer_cannot_count_twice(self, validity):
        once = FORGE.tc(1, dict.fromkeys((0, 1), GENESIS_QC))
        twice = TC(
            once.epoch,
            once.view,
            (ValidatorIndex(0), ValidatorIndex(1), ValidatorIndex(1)),
            (*once.bodies, once.bodies[1]),
            (*once.signatures, once.signatures[1]),
            4,
        )
        with pytest.raises(DecodeError):  # a bitmap cannot say it, so its entries do not fit
            decode_whole(twice.encoded, lambda reader: TC.decode(reader, 4))

    @pytest.mark.parametrize(
        ("tip_view", "qc_view"), [(0, 5), (6, 2), (3, 3), (2, 3)], ids=["qc too high", "tip too high", "same", "below"]
    )
    def test_bodies_whose_views_cannot_be(self, validity, tip_view, qc_view):
        body = TimeoutBody(Epoch(0), View(5), View(tip_view), no_block("x") if tip_view else bytes(32), View(qc_view))  # type: ignore[arg-type]
        with refused("timeout_views"):
            validity.check_tc(FORGE.tc(5, dict.fromkeys((0, 1, 2), body)))

    def test_a_body_without_a_tip_has_no_tip_id(self, validity):
        body = TimeoutBody(Epoch(0), View(5), View(0), no_block("x"), View(3))
        with refused("timeout_views"):
            validity.check_tc(FORGE.tc(5, dict.fromkeys((0, 1, 2), body)))

    def test_one_false_signature(self, validity):
        certificate = FORGE.tc_of(1, GENESIS_QC)
        with refused("bad_signature"):
            validity.check_tc(replace(certificate, signatures=certificate.signatures[::-1]))

    def test_with_as_many_different_bodies_as_signers(self, validity):
        chain = make_genesis((1,) * 7)
        forge = Forge(chain)
        tips = forge.chain_of(6)
        highs = {signer: tips[signer] if signer % 2 else forge.certify(tips[signer]) for signer in range(6)}
        certificate = forge.tc(8, highs)
        assert len({body.encode() for body in certificate.bodies}) == 6
        decoded = decode_whole(certificate.encoded, lambda reader: TC.decode(reader, 7))
        Validity(chain).check_tc(decoded)
        assert decoded == certificate
        assert decoded.high.tip_id == tips[5].id


class TestTimeout:
    def test_with_a_tip_or_with_the_qc_that_it_names(self, validity):
        tips = FORGE.chain_of(2)
        qc = FORGE.certify(tips[1])
        validity.check_timeout(FORGE.timeout(3, 0, qc, qc))
        validity.check_timeout(FORGE.timeout(2, 0, tips[1], FORGE.certify(tips[0])))

    def test_a_qc_other_than_the_one_it_names(self, validity):
        tips = FORGE.chain_of(3)
        lower, higher = FORGE.certify(tips[0]), FORGE.certify(tips[1])
        timeout = FORGE.timeout(3, 0, higher, higher)
        for carried in (lower, None):
            with refused("timeout_qc"):
                validity.check_timeout(replace(timeout, qc=carried))
        with refused("timeout_qc"):
            validity.check_timeout(replace(FORGE.timeout(3, 0, tips[2], higher), qc=higher))

    def test_a_qc_that_nobody_signed(self, validity):
        qc = FORGE.certify(FORGE.tip(1, GENESIS_QC))
        false = replace(qc, signatures=(bytes(65),) * 3)
        with refused("bad_signature"):
            validity.check_timeout(replace(FORGE.timeout(2, 0, qc, qc), qc=false))

    def test_an_entry_that_is_no_certificate(self, validity):
        qc = FORGE.certify(FORGE.tip(1, GENESIS_QC))
        with refused("no_quorum"):
            validity.check_timeout(replace(FORGE.timeout(2, 0, qc, qc), entry=FORGE.qc(qc.body, (0, 1))))

    def test_an_entry_of_a_view_that_does_not_lead_there(self, validity):
        tips = FORGE.chain_of(3)
        qcs = [FORGE.certify(tip) for tip in tips]
        with refused("timeout_entry"):
            validity.check_timeout(FORGE.timeout(3, 0, qcs[1], qcs[0]))
        validity.check_timeout(FORGE.timeout(3, 0, qcs[1], FORGE.tc_of(3, qcs[1])))  # one who jumped over view 3

    def test_a_backup_vote_of_somebody_else_or_of_another_view(self, validity):
        tips = FORGE.chain_of(3)
        qc = FORGE.certify(tips[1])
        good = FORGE.vote(tips[2].vote_body(View(3)), 0)
        validity.check_timeout(FORGE.timeout(3, 0, tips[2], qc, good))
        for vote in (FORGE.vote(good.body, 1), FORGE.vote(tips[2].vote_body(View(4)), 0)):
            with refused("foreign_backup_vote"):
                validity.check_timeout(FORGE.timeout(3, 0, tips[2], qc, vote))
        with refused("bad_signature"):
            validity.check_timeout(FORGE.timeout(3, 0, tips[2], qc, replace(good, signature=bytes(65))))

    def test_a_backup_vote_brings_no_report(self, validity):
        tips = FORGE.chain_of(2)
        vote = replace(FORGE.vote(tips[1].vote_body(View(2)), 0), report=FORGE.report(3, 0))
        with refused("foreign_report"):
            validity.check_timeout(FORGE.timeout(2, 0, tips[1], FORGE.certify(tips[0]), vote))

    def test_a_body_that_another_key_signed(self, validity):
        timeout = FORGE.timeout(1, 0, GENESIS_QC, GENESIS_QC)
        with refused("bad_signature"):
            validity.check_timeout(replace(timeout, signer=ValidatorIndex(1)))
        with refused("unknown_validator"):
            validity.check_timeout(replace(timeout, signer=ValidatorIndex(4)))


class TestTip:
    def test_fresh_on_the_qc_of_the_view_before(self, validity):
        for tip in FORGE.chain_of(3):
            validity.check_tip(tip)

    def test_fresh_on_an_older_qc_with_the_tc_that_names_it(self, validity):
        qc = FORGE.certify(FORGE.tip(1, GENESIS_QC))
        validity.check_tip(FORGE.tip(4, qc, FORGE.tc_of(3, qc)))

    def test_on_an_older_qc_without_a_proof(self, validity):
        with refused("not_fresh"):
            validity.check_tip(FORGE.tip(4, FORGE.certify(FORGE.tip(1, GENESIS_QC))))

    def test_with_a_proof_whose_high_is_a_tip(self, validity):
        tips = FORGE.chain_of(2)
        qc = FORGE.certify(tips[0])
        with refused("fresh_high"):
            validity.check_tip(FORGE.tip(3, qc, FORGE.tc(2, {0: qc, 1: tips[1], 2: qc})))

    def test_with_a_proof_whose_high_is_another_qc(self, validity):
        tips = FORGE.chain_of(3)
        low, high = FORGE.certify(tips[0]), FORGE.certify(tips[1])
        with refused("fresh_high"):
            validity.check_tip(FORGE.tip(4, low, FORGE.tc(3, {0: low, 1: high, 2: low})))

    def test_with_a_proof_of_another_view(self, validity):
        qc = FORGE.certify(FORGE.tip(1, GENESIS_QC))
        with refused("fresh_view"):
            validity.check_tip(FORGE.tip(5, qc, FORGE.tc_of(3, qc)))

    def test_with_a_proof_that_is_no_quorum(self, validity):
        qc = FORGE.certify(FORGE.tip(1, GENESIS_QC))
        with refused("no_quorum"):
            validity.check_tip(FORGE.tip(4, qc, FORGE.tc(3, {0: qc, 1: qc})))

    def test_by_anybody_but_the_leader_of_its_view(self, validity):
        with refused("wrong_leader"):
            validity.check_tip(FORGE.tip(1, GENESIS_QC, author=LEADERS[1]))
        with refused("bad_signature"):
            validity.check_tip(FORGE.sign_tip(FORGE.tip(1, GENESIS_QC), LEADERS[1]))

    def test_on_a_justify_that_nobody_signed_though_another_for_its_body_is_known(self, validity):
        first = FORGE.tip(1, GENESIS_QC)
        qc = FORGE.certify(first)
        validity.check_qc(qc)
        false = replace(qc, signatures=(bytes(65),) * 3)
        with refused("bad_signature"):
            validity.check_tip(FORGE.tip(2, false))

    def test_the_id_binds_the_signatures_of_justify_and_proof(self):
        """Else an accuser could swap them, and the author would have signed an invalid tip."""
        first = FORGE.tip(1, GENESIS_QC)
        one, other = FORGE.certify(first, signers=(0, 1, 2)), FORGE.certify(first, signers=(1, 2, 3))
        reports = FORGE.reports(2, START_MS + 50)
        assert FORGE.tip(2, one, reports=reports).id != FORGE.tip(2, other, reports=reports).id
        later = FORGE.reports(4, START_MS + 50)
        proofs = [FORGE.tc(3, dict.fromkeys(signers, one)) for signers in ((0, 1, 2), (1, 2, 3))]
        assert FORGE.tip(4, one, proofs[0], later).id != FORGE.tip(4, one, proofs[1], later).id

    @pytest.mark.parametrize("part", ["justify", "reports", "fresh"])
    def test_parts_other_than_those_the_header_commits_to(self, validity, part):
        first = FORGE.tip(1, GENESIS_QC)
        qc = FORGE.certify(first)
        tip = FORGE.tip(4, qc, FORGE.tc_of(3, qc))
        swapped: dict[str, object] = {
            "justify": FORGE.certify(first, signers=(1, 2, 3)),
            "reports": FORGE.reports(4, tip.reports[0].sent_ms, validators=(1, 2, 3)),
            "fresh": FORGE.tc(3, dict.fromkeys((1, 2, 3), qc)),
        }
        with refused(f"{part}_hash"):
            validity.check_tip(replace(tip, **{part: swapped[part]}))  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("parent_id", no_block("other")),
            ("height", 3),
            ("ts_ms", START_MS + 999),
            ("l1_anchor", Anchor(4, Hash(bytes(32)))),
            ("cut_root", Hash(bytes(32))),
        ],
    )
    def test_fields_other_than_what_follows(self, validity, field, value):
        with refused(field if field != "ts_ms" else "block_time"):
            validity.check_tip(FORGE.tip(1, GENESIS_QC, **{field: value}))

    def test_reports_that_are_no_quorum_of_this_view(self, validity):
        with refused("report_quorum"):
            validity.check_tip(FORGE.tip(1, GENESIS_QC, reports=FORGE.reports(1, validators=(0, 1))))
        with refused("report_view"):
            mixed = (*FORGE.reports(1, validators=(0, 1)), FORGE.report(2, 2))
            validity.check_tip(FORGE.tip(1, GENESIS_QC, reports=mixed))
        with refused("report_quorum"):
            twice = (*FORGE.reports(1, validators=(0, 1)), FORGE.report(1, 1, START_MS + 1))
            validity.check_tip(FORGE.tip(1, GENESIS_QC, reports=twice))

    @pytest.mark.parametrize("count", [3, 5])
    def test_a_report_of_too_few_or_too_many_lanes(self, validity, count):
        report = FORGE.report(1, 2)
        with refused("report_lanes"):
            validity.check_report(replace(report, lanes=report.lanes[:1] * count).sign(CHAIN, node_key(2)))

    def test_of_another_epoch(self, validity):
        with refused("wrong_epoch"):
            validity.check_tip(FORGE.tip(1, GENESIS_QC, epoch=Epoch(1)))
        with refused("wrong_epoch"):
            validity.check_report(replace(FORGE.report(1, 2), epoch=Epoch(1)).sign(CHAIN, node_key(2)))

    def test_a_report_older_than_the_parent(self, validity):
        qc = FORGE.certify(FORGE.tip(1, GENESIS_QC))
        ts_ms = qc.body.ts_ms
        reports = (*FORGE.reports(2, ts_ms, validators=(0, 1)), FORGE.report(2, 2, ts_ms - 1))
        with refused("report_stale"):
            validity.check_tip(FORGE.tip(2, qc, reports=reports))
        validity.check_tip(FORGE.tip(2, qc, reports=FORGE.reports(2, ts_ms)))

    def test_a_report_with_a_false_signature_or_too_many_batches(self, validity):
        reports = FORGE.reports(1)
        false = (*reports[:2], replace(reports[2], signature=reports[0].signature))
        with refused("bad_signature"):
            validity.check_tip(FORGE.tip(1, GENESIS_QC, reports=false))
        too_many = tuple((no_block(str(place)), 0) for place in range(CHAIN.parameters.lane_report_batches + 1))
        full = (*reports[:2], FORGE.report(1, 2, lanes={0: (0, too_many)}))  # type: ignore[dict-item]
        with refused("report_bound"):
            validity.check_tip(FORGE.tip(1, GENESIS_QC, reports=full))

    def test_invalid_is_never_remembered_by_id(self, validity):
        tip = FORGE.tip(1, GENESIS_QC)
        with refused("bad_signature"):
            validity.check_tip(replace(tip, author_sig=bytes(65)))
        validity.check_tip(tip)

    def test_valid_is_not_remembered_by_id_either(self, validity):
        tip = FORGE.tip(1, GENESIS_QC)
        validity.check_tip(tip)
        with refused("bad_signature"):
            validity.check_tip(replace(tip, author_sig=bytes(65)))

    def test_nothing_but_these_rules_makes_it_unvotable(self, validity):
        """Far-off clocks, unknown parents and batches that nobody here holds: valid all the same."""
        digest = no_block("a batch that is nowhere")
        unknown_parent = replace(FORGE.certify(FORGE.tip(1, GENESIS_QC)).body, view=View(7), block_id=no_block("p"))
        unknown_parent = replace(unknown_parent, block_view=View(6), justify_view=View(5), height=90)  # type: ignore[arg-type]
        far = START_MS + 10**12
        lanes = {2: (1000, ((digest, 5),))}
        reports = tuple(FORGE.report(8, validator, far, lanes, Anchor(64, Hash(digest))) for validator in range(3))  # type: ignore[arg-type]
        validity.check_tip(FORGE.tip(8, FORGE.qc(unknown_parent), reports=reports))


class TestProposal:
    def test_a_fresh_one_has_no_entry_and_its_tip_is_of_its_view(self, validity):
        tip = FORGE.tip(1, GENESIS_QC)
        validity.check_proposal(FORGE.proposal(1, tip))
        with refused("no_entry"):
            validity.check_proposal(FORGE.proposal(2, tip))

    def test_a_re_proposal_is_of_the_tip_that_its_entry_names(self, validity):
        tips = FORGE.chain_of(3)
        qc = FORGE.certify(tips[1])
        entry = FORGE.tc(3, {0: qc, 1: tips[2], 3: qc})
        validity.check_proposal(FORGE.proposal(4, tips[2], entry))
        for other in (tips[1], FORGE.tip(3, qc, reports=FORGE.reports(3, START_MS + 500))):
            with refused("entry_high"):
                validity.check_proposal(FORGE.proposal(4, other, entry))

    @pytest.mark.parametrize(("tip_view", "qc_view"), [(3, 1), (3, 2), (2, 0)])
    def test_a_re_proposal_of_the_right_id_with_another_view_or_justify_view(self, validity, tip_view, qc_view):
        """The id alone forks the chain: a liar may name an old tip as if it were of a higher view."""
        tip = FORGE.chain_of(2)[1]
        lie = replace(FORGE.body(3, tip), tip_view=View(tip_view), qc_view=View(qc_view))
        with refused("entry_high"):
            validity.check_proposal(FORGE.proposal(4, tip, FORGE.tc(3, {0: lie, 1: GENESIS_QC, 2: GENESIS_QC})))

    def test_a_re_proposal_by_an_entry_of_another_view(self, validity):
        tip = FORGE.tip(1, GENESIS_QC)
        with refused("entry_high"):
            validity.check_proposal(FORGE.proposal(4, tip, FORGE.tc_of(2, tip)))

    def test_a_re_proposal_by_an_entry_whose_high_is_a_qc(self, validity):
        tips = FORGE.chain_of(3)
        qc = FORGE.certify(tips[1])
        with refused("entry_high"):
            validity.check_proposal(FORGE.proposal(4, tips[1], FORGE.tc_of(3, qc)))

    def test_a_re_proposal_by_an_entry_that_is_no_quorum(self, validity):
        tip = FORGE.tip(1, GENESIS_QC)
        with refused("no_quorum"):
            validity.check_proposal(FORGE.proposal(2, tip, FORGE.tc(1, {0: tip, 1: tip})))

    def test_of_another_epoch(self, validity):
        with refused("wrong_epoch"):
            validity.check_proposal(resigned(FORGE.proposal(1, FORGE.tip(1, GENESIS_QC)), epoch=Epoch(1)))

    def test_by_anybody_but_the_leader(self, validity):
        tip = FORGE.tip(1, GENESIS_QC)
        with refused("bad_signature"):
            validity.check_proposal(FORGE.proposal(1, tip, leader=LEADERS[1]))

    def test_an_accuser_cannot_swap_the_entry_or_the_authors_signature(self, validity):
        """Each swapped object is well-formed; only the leader's signature tells that it was not the leader."""
        tip = FORGE.tip(1, GENESIS_QC)
        proposal = FORGE.proposal(2, tip, FORGE.tc(1, dict.fromkeys((0, 1, 2), tip)))
        validity.check_proposal(proposal)
        with refused("bad_signature"):
            validity.check_proposal(replace(proposal, entry=FORGE.tc(1, dict.fromkeys((1, 2, 3), tip))))
        others = [replace(tip, author_sig=bytes(65)), FORGE.sign_tip(tip, 1)]
        for other in others:
            swapped = replace(proposal, tip=other)
            assert swapped.signing_digest(CHAIN) != proposal.signing_digest(CHAIN)
            with refused("bad_signature"):
                validity.check_proposal(swapped)

    def test_of_an_invalid_tip(self, validity):
        bad = FORGE.tip(1, GENESIS_QC, height=9)
        with refused("height"):
            validity.check_proposal(FORGE.proposal(1, bad))

    def test_is_checked_as_decoded(self, validity):
        qc = FORGE.certify(FORGE.tip(1, GENESIS_QC))
        tip = FORGE.tip(4, qc, FORGE.tc_of(3, qc))
        decoded = decode_whole(tip.encoded, lambda reader: Tip.decode(reader, 4))
        validity.check_proposal(resigned(FORGE.proposal(4, tip), tip=decoded))


def test_the_memory_of_valid_objects_is_bounded(validity):
    tip = FORGE.tip(1, GENESIS_QC)
    validity.check_qc(FORGE.certify(tip))
    for number in range(10_000):
        validity.remember(Hash(number.to_bytes(32, "big")))
    assert len(validity._valid) <= 4_096
