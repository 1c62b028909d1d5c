"""Proposing: what the entry allows, and waiting for what is missing."""

from dataclasses import replace

from consensus.numbers import Digest, ValidatorIndex, View
from consensus.ordering.cut import determine_cut
from consensus.replica.effects import EnterView, FetchTips
from consensus.replica.events import PeerConnected, TipsFetched
from consensus.replica.state import ReplicaTiming
from consensus.vocabulary.certificates import QC
from consensus.vocabulary.messages import Proposal
from tests.simulation.forge import no_block
from tests.simulation.seat import Seat


def seated(view: int, me: int) -> tuple[Seat, list]:
    seat = Seat(me)
    seat.start()
    assert seat.forge.leader(view) == me
    tips = seat.enter(view)
    seat.effects.clear()
    return seat, tips


def report_all(seat: Seat, view: int) -> None:
    for validator in (0, 1, 2, 3):
        if validator != seat.me:
            seat.hear(seat.forge.report(view, validator, seat.now.wall_ms + 50), validator)


def test_on_a_qc_of_the_view_before_the_leader_proposes_fresh_when_its_time_has_come():
    seat, tips = seated(4, me=1)
    report_all(seat, 4)
    assert not seat.said(Proposal)  # nothing to order: it waits
    (proposal,) = seat.said(Proposal, seat.wait(seat.timing.idle_interval_ms))
    assert proposal.entry is None
    assert proposal.tip.justify == seat.forge.certify(tips[-1])
    assert proposal.tip.fresh is None


def test_a_batch_that_a_witness_set_reports_ends_the_waiting():
    seat, _ = seated(4, me=1)
    lanes = {3: (0, ((Digest(no_block("batch")), 20),))}
    for validator in (0, 2):
        seat.hear(seat.forge.report(4, validator, seat.now.wall_ms + 10, lanes), validator)
    seat.wait(seat.timing.min_block_interval_ms)
    (proposal,) = seat.said(Proposal)
    cut = determine_cut(proposal.tip.reports, seat.chain.validator_set)
    assert [end.seq for end in cut.ends] == [0, 0, 0, 1]


def test_without_a_link_to_the_committed_chain_there_is_no_reason_to_wait():
    """What it would order is not known then, and a pipeline must be flushed perhaps."""
    seat = Seat(me=1)
    seat.start()
    seat.hear(seat.forge.certify(seat.forge.chain_of(3)[-1]))
    report_all(seat, 4)
    assert len(seat.said(Proposal)) == 1


def test_a_leader_without_a_quorum_of_reports_waits_for_them():
    seat, _ = seated(4, me=1)
    seat.hear(seat.forge.report(4, 2, seat.now.wall_ms + 50), 2)
    seat.wait(2 * seat.timing.idle_interval_ms)
    assert not seat.said(Proposal)
    seat.hear(seat.forge.report(4, 3, seat.now.wall_ms + 50), 3)
    assert len(seat.said(Proposal)) == 1


def test_reports_older_than_the_parent_do_not_count():
    seat, tips = seated(4, me=1)
    ts_ms = tips[-1].header.ts_ms
    for validator in (0, 2, 3):
        seat.hear(seat.forge.report(4, validator, ts_ms - 1), validator)
    seat.wait(2 * seat.timing.idle_interval_ms)
    assert not seat.said(Proposal)


def test_on_a_tc_whose_high_is_a_qc_it_proposes_on_that_qc_with_the_tc_as_proof():
    seat, tips = seated(4, me=1)
    seat, tips = Seat(me=0), seat.forge.chain_of(3)
    seat.start()
    seat.enter(4)
    qc = seat.forge.certify(tips[-1])
    entry = seat.forge.tc_of(4, qc)
    seat.hear(entry)
    seat.effects.clear()
    report_all(seat, 5)
    (proposal,) = seat.said(Proposal, seat.wait(seat.timing.idle_interval_ms))
    assert (proposal.view, proposal.entry, proposal.tip.fresh, proposal.tip.justify) == (5, None, entry, qc)


def test_on_a_tc_whose_high_is_a_tip_it_re_proposes_that_tip_at_once():
    seat = Seat(me=0)
    seat.start()
    tips = seat.enter(4)
    qc = seat.forge.certify(tips[-1])
    tip = seat.forge.tip(4, qc)
    seat.hear(seat.forge.proposal(4, tip), 1)
    entry = seat.forge.tc(4, {1: tip, 2: qc, 3: qc})
    (proposal,) = seat.said(Proposal, seat.hear(entry))
    assert (proposal.view, proposal.tip, proposal.entry) == (5, tip, entry)


def test_a_tip_that_the_entry_names_and_that_is_missing_is_asked_for_and_proposed_when_it_comes():
    seat = Seat(me=0)
    seat.start()
    tips = seat.enter(4)
    qc = seat.forge.certify(tips[-1])
    tip = seat.forge.tip(4, qc)
    entry = seat.forge.tc(4, {1: tip, 2: tip, 3: qc})
    seat.hear(entry)
    assert not seat.said(Proposal)
    (asked,) = seat.asked(FetchTips, seat.wait(seat.timing.fetch_delay_ms))
    assert asked.wanted == tip.id
    assert set(asked.peers) == {1, 2}
    (proposal,) = seat.said(Proposal, seat.step(TipsFetched(asked.peers[0], tip.id, (tip,))))
    assert (proposal.tip, proposal.entry) == (tip, entry)


def test_the_tip_may_also_come_along_with_a_timeout():
    seat = Seat(me=0)
    seat.start()
    tips = seat.enter(4)
    tip = seat.forge.tip(4, seat.forge.certify(tips[-1]))
    entry = seat.forge.tc(4, dict.fromkeys((1, 2, 3), tip))
    seat.hear(entry)
    (proposal,) = seat.said(Proposal, seat.hear(tip, 2))
    assert (proposal.tip, proposal.entry) == (tip, entry)


def test_a_leader_whose_entry_names_a_tip_that_never_comes_proposes_on_a_tc_that_it_can_complete():
    """Tip 4 was never shown to anybody; the honest timeouts of view 4 arrive after the TC that names it."""
    seat = Seat(me=0)
    seat.start()
    tips = seat.enter(4)
    qc = seat.forge.certify(tips[-1])
    withheld = seat.forge.tip(4, qc)
    seat.hear(seat.forge.tc(4, {1: withheld, 2: qc, 3: qc}))
    assert seat.state.view == 5
    report_all(seat, 5)
    seat.wait(seat.timing.idle_interval_ms)
    assert not seat.said(Proposal)
    seat.hear(seat.forge.timeout(4, 2, qc, qc), 2)
    seat.hear(seat.forge.timeout(4, 3, qc, qc), 3)
    (proposal,) = seat.said(Proposal)  # the third timeout is its own, signed on entering
    assert proposal.tip.fresh is not None
    assert proposal.tip.fresh.signers == (0, 2, 3)
    assert proposal.tip.justify == qc


def test_a_leader_that_lacks_the_qc_of_its_entry_gets_it_with_a_timeout():
    seat = Seat(me=0)
    seat.start()
    tips = seat.forge.chain_of(3)
    qc: QC = seat.forge.certify(tips[-1])
    seat.hear(seat.forge.tc_of(4, qc))
    assert seat.state.view == 5
    report_all(seat, 5)
    seat.wait(seat.timing.idle_interval_ms)
    assert not seat.said(Proposal)
    seat.hear(seat.forge.timeout(4, 3, qc, qc), 3)
    (proposal,) = seat.said(Proposal)
    assert proposal.tip.justify == qc


def test_a_leader_that_lacks_the_qc_of_its_entry_takes_it_from_anybody_even_below_its_own():
    """QC 3 was hidden from the others, so their TC names QC 2, which a leader that jumped by QC 3 never saw."""
    for known in (0, 3):
        seat = Seat(me=0)
        seat.start()
        tips = seat.forge.chain_of(3)
        qcs = [seat.forge.genesis_qc, *(seat.forge.certify(tip) for tip in tips)]
        if known:
            seat.hear(qcs[known])
        seat.hear(seat.forge.tc_of(4, qcs[2]))
        assert seat.state.view == 5
        report_all(seat, 5)
        assert not seat.said(Proposal)
        (proposal,) = seat.said(Proposal, seat.hear(qcs[2]))
        assert proposal.tip.justify == qcs[2]


def test_one_proposal_per_view_and_none_after_the_own_timeout():
    seat, _ = seated(4, me=1)
    report_all(seat, 4)
    seat.wait(seat.timing.idle_interval_ms)
    report_all(seat, 4)
    seat.wait(seat.timing.idle_interval_ms)
    assert len(seat.said(Proposal)) == 1

    seat, _ = seated(4, me=1)
    seat.wait(seat.timing.view_timeout_ms)
    report_all(seat, 4)
    seat.wait(seat.timing.idle_interval_ms)
    assert not seat.said(Proposal)
    assert not seat.asked(EnterView)


def test_the_proposal_is_saved_with_its_tip_before_it_leaves():
    seat, _ = seated(4, me=1)
    report_all(seat, 4)
    seat.wait(seat.timing.idle_interval_ms)
    names = [type(effect).__name__ for effect in seat.effects]
    assert names.index("Save") < names.index("Broadcast")
    (proposal,) = seat.said(Proposal)
    assert proposal.tip.id in seat.stored


def test_in_the_view_of_a_restart_there_is_no_proposal():
    seat, _ = seated(4, me=1)
    seat.step(PeerConnected(ValidatorIndex(0)))  # so that something leaves in this view, and the record knows of it
    seat.restart()
    assert seat.state.view == 4
    report_all(seat, 4)
    seat.wait(seat.timing.idle_interval_ms)
    assert not seat.said(Proposal)


def test_no_wait_is_longer_than_its_interval_whatever_the_parents_time_says():
    """Far-future timestamps: a parent whose time lies a year ahead does not stop its child."""
    seat = Seat(me=1)
    seat.start()
    assert seat.forge.leader(4) == 1
    ahead = 365 * 24 * 3_600_000
    tips = seat.enter(3)
    far = seat.forge.tip(3, seat.forge.certify(tips[-1]), reports=seat.forge.reports(3, seat.now.wall_ms + ahead))
    seat.hear(seat.forge.proposal(3, far), 2)
    seat.hear(seat.forge.certify(far))
    for validator in (0, 2, 3):
        seat.hear(seat.forge.report(4, validator, far.header.ts_ms + 1), validator)
    (proposal,) = seat.said(Proposal, seat.wait(seat.timing.idle_interval_ms))
    assert proposal.tip.header.ts_ms == far.header.ts_ms + 1


def test_a_leader_tries_as_soon_as_it_enters():
    """All else is there before the certificate, and nothing comes after it."""
    seat = Seat(me=0)
    seat.start()
    tips = seat.enter(4)
    report_all(seat, 5)
    seat.wait(seat.timing.view_timeout_ms)
    seat.effects.clear()
    seat.hear(seat.forge.tc_of(4, seat.forge.certify(tips[-1])))
    assert len(seat.said(Proposal, seat.wait(seat.timing.idle_interval_ms))) == 1


def test_a_tip_that_the_entry_names_with_another_rank_is_not_proposed():
    """The leader holds tip 4; the TC that it entered by says that tip 4 stands on QC 1."""
    seat = Seat(me=0)
    seat.start()
    tips = seat.enter(4)
    qc = seat.forge.certify(tips[-1])
    tip = seat.forge.tip(4, qc)
    seat.hear(seat.forge.proposal(4, tip), 1)
    lie = replace(seat.forge.body(4, tip), qc_view=View(1))
    seat.hear(seat.forge.tc(4, {1: lie, 2: qc, 3: qc}))
    report_all(seat, 5)
    seat.wait(seat.timing.idle_interval_ms)
    assert seat.state.view == 5
    assert not seat.said(Proposal)


def test_blocks_with_something_to_order_are_an_interval_apart():
    seat = Seat(me=1, timing=ReplicaTiming(min_block_interval_ms=40))
    seat.start()
    seat.enter(4)
    lanes = {3: (0, ((Digest(no_block("batch")), 20),))}
    for validator in (0, 2):
        seat.hear(seat.forge.report(4, validator, seat.now.wall_ms + 10, lanes), validator)
    seat.wait(39)
    assert not seat.said(Proposal)
    seat.wait(1)
    assert len(seat.said(Proposal)) == 1


def test_while_a_block_with_batches_is_not_final_the_next_one_is_the_longer_interval_apart():
    """Under a steady load there is always one: views as fast as they can would only take the cores from each other."""
    seat = Seat(me=1, timing=ReplicaTiming(min_block_interval_ms=5, min_block_interval_loaded_ms=40))
    seat.start()
    first, second = Digest(no_block("batch 1")), Digest(no_block("batch 2"))
    tips = seat.enter(3)
    reports = tuple(seat.forge.report(3, of, seat.now.wall_ms + 10, {3: (0, ((first, 20),))}) for of in (0, 1, 2))
    tip = seat.forge.tip(3, seat.forge.certify(tips[-1]), reports=reports)
    seat.hear(seat.forge.proposal(3, tip), seat.forge.leader(3))
    seat.hear(seat.forge.certify(tip))
    lanes = {3: (0, ((first, 20), (second, 30)))}
    for validator in (0, 2):
        seat.hear(seat.forge.report(4, validator, seat.now.wall_ms + 20, lanes), validator)
    seat.wait(39)
    assert not seat.said(Proposal)
    seat.wait(1)
    assert len(seat.said(Proposal)) == 1


def seat_called_absent(**timing):
    """The leader of view 5, and view 4's certificate is there; its slot in view 1 passed without a proposal."""
    seat = Seat(me=0, timing=ReplicaTiming(**timing))
    seat.start()
    justify = seat.forge.genesis_qc
    fresh = seat.forge.tc_of(1, justify)  # view 1 was ours
    seat.hear(fresh)
    for view in (2, 3, 4):
        tip = seat.forge.tip(view, justify, fresh if view == 2 else None)
        seat.hear(seat.forge.proposal(view, tip), seat.forge.leader(view))
        justify = seat.forge.certify(tip)
        seat.hear(justify)
    return seat


def test_a_leader_whose_last_slot_passed_without_a_proposal_does_not_idle():
    """The others give it a quarter of a view; idling would use that up."""
    seat = seat_called_absent()
    report_all(seat, 5)
    assert len(seat.said(Proposal)) == 1


def test_a_leader_whose_last_slot_passed_without_a_proposal_does_not_pace():
    """Under load too it has to show that it is back."""
    seat = seat_called_absent(min_block_interval_ms=40, min_block_interval_loaded_ms=40)
    lanes = {3: (0, ((Digest(no_block("batch")), 20),))}
    for validator in (2, 3):
        seat.hear(seat.forge.report(5, validator, seat.now.wall_ms + 10, lanes), validator)
    (proposal,) = seat.said(Proposal)
    assert determine_cut(proposal.tip.reports, seat.chain.validator_set).ends[3].seq == 1
