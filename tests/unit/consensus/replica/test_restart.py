"""Restarts: what the disk holds is enough, and the view of the restart is silent but for a timeout."""

from dataclasses import replace

import pytest

from consensus.errors import BrokenInvariant, DecodeError
from consensus.numbers import Digest, Height, Milliseconds, Seq, ValidatorIndex, View
from consensus.ordering.effective import effective_start
from consensus.replica.effects import Broadcast, NeedBatches, Save, Send
from consensus.replica.events import PeerConnected, Started
from consensus.replica.replica import Replica
from consensus.replica.safety import SafetyRecord
from consensus.replica.state import Recovered, ReplicaTiming
from consensus.vocabulary.messages import Proposal, Timeout, Vote
from consensus.vocabulary.report import LaneReport
from consensus.vocabulary.tip import Tip
from tests.simulation.forge import no_block
from tests.simulation.keys import node_key
from tests.simulation.seat import Seat


def seated(view: int, me: int = 3) -> tuple[Seat, list]:
    seat = Seat(me)
    seat.start()
    tips = seat.enter(view)
    seat.step(PeerConnected(ValidatorIndex(0)))  # so that something leaves in this view, and the record knows of it
    seat.effects.clear()
    return seat, tips


def test_a_view_in_which_nothing_left_is_forgotten():
    """Entering alone is not saved: nobody heard of it."""
    seat = Seat(me=3)
    seat.start()
    seat.enter(3)
    seat.restart()
    assert seat.state.view == 2


def test_nothing_that_was_decided_is_forgotten():
    seat, tips = seated(3)
    qc = seat.forge.certify(tips[-1])
    tip = seat.forge.tip(3, qc)
    seat.hear(seat.forge.proposal(3, tip), 2)
    seat.wait(seat.timing.view_timeout_ms)
    before = seat.state
    seat.restart()
    after = seat.state
    for name in ("entry", "high_qc", "voted_view", "vote", "timeout_view", "timeout", "proposed_view", "high_tip"):
        assert getattr(after, name) == getattr(before, name), name
    assert after.view == before.view


def test_the_highest_qc_is_remembered_where_the_entry_does_not_tell_it():
    seat, tips = seated(4)
    qc = seat.forge.certify(tips[-1])
    seat.hear(seat.forge.tc_of(4, qc))
    seat.restart()
    assert seat.state.high_qc == qc
    (timeout,) = seat.said(Timeout, seat.wait(seat.timing.view_timeout_ms))[-1:]
    assert timeout.body.qc_view == 3


def test_there_is_no_vote_in_the_view_of_the_restart():
    seat, tips = seated(3)
    seat.restart()
    effects = seat.hear(seat.forge.proposal(3, seat.forge.tip(3, seat.forge.certify(tips[-1]))), 2)
    assert not seat.said(Vote, effects)
    assert seat.state.voted_view == 2


def test_there_is_no_backup_vote_in_the_view_of_the_restart():
    seat, tips = seated(3)
    qc = seat.forge.certify(tips[-1])
    tip = seat.forge.tip(3, qc)
    seat.wait(seat.timing.view_timeout_ms)
    seat.hear(seat.forge.tc(3, {0: qc, 1: tip, 2: tip}))
    seat.restart()
    seat.hear(tip, 2)
    timeouts = seat.said(Timeout, seat.wait(3 * seat.timing.view_timeout_ms))
    assert [(timeout.view, timeout.backup_vote) for timeout in timeouts] == [(4, None)]


def test_a_first_timeout_is_signed_in_the_view_of_the_restart():
    """Else a full power cut would be a deadlock: nobody votes, nobody proposes, and nobody times out."""
    seat, _ = seated(3)
    seat.restart()
    (timeout,) = seat.said(Timeout, seat.wait(seat.timing.view_timeout_ms))
    assert timeout.view == 3
    assert seat.sent_to(Timeout)[-1] == -1


def test_a_stored_timeout_is_broadcast_at_once_and_verbatim():
    seat, _ = seated(3)
    (timeout,) = seat.said(Timeout, seat.wait(seat.timing.view_timeout_ms))
    effects = seat.restart()
    assert [effect.message for effect in effects if isinstance(effect, Broadcast)] == [timeout]


def test_after_the_view_of_the_restart_it_votes_again():
    seat, tips = seated(3)
    seat.restart()
    qc = seat.forge.certify(tips[-1])
    entry = seat.forge.tc_of(3, qc)
    effects = seat.hear(seat.forge.proposal(4, seat.forge.tip(4, qc, entry)), 1)
    assert seat.said(Vote, effects)


def test_a_leader_that_restarts_after_the_save_and_before_the_send_proposes_nothing_else():
    """E1 and E2: the tip it signed may be on its way, or not."""
    seat, _ = seated(4, me=1)
    for validator in (0, 2, 3):
        seat.hear(seat.forge.report(4, validator, seat.now.wall_ms + 50), validator)
    (proposal,) = seat.said(Proposal, seat.wait(seat.timing.idle_interval_ms))
    seat.restart()
    seat.effects.clear()
    for validator in (0, 2, 3):
        seat.hear(seat.forge.report(4, validator, seat.now.wall_ms + 400), validator)
    seat.wait(seat.timing.idle_interval_ms)
    assert not seat.said(Proposal)
    assert seat.state.proposal is not None
    assert seat.state.proposal.tip_id == proposal.tip.id


def test_the_tip_of_a_stored_timeout_still_goes_to_the_next_leader():
    seat, tips = seated(3)
    tip = seat.forge.tip(3, seat.forge.certify(tips[-1]))
    seat.hear(seat.forge.proposal(3, tip), 2)
    seat.wait(seat.timing.view_timeout_ms)
    effects = seat.restart()
    assert seat.said(Tip, effects) == [tip]


def test_a_record_that_names_a_tip_which_is_not_stored_is_a_broken_disk():
    seat, tips = seated(3)
    seat.hear(seat.forge.proposal(3, seat.forge.tip(3, seat.forge.certify(tips[-1]))), 2)
    seat.stored = {}
    with pytest.raises(BrokenInvariant):
        seat.restart()


def test_every_step_that_sends_saves_first_what_it_changed():
    """Whatever happens to a replica: a `Save` stands before the first send, and never behind one."""
    seat = Seat(me=1)
    steps = [seat.start()]
    tips = seat.forge.chain_of(5)
    for tip in tips[:3]:
        steps.append(seat.hear(seat.forge.proposal(tip.view, tip), seat.forge.leader(tip.view)))
        steps.append(seat.hear(seat.forge.certify(tip)))
    steps.append(seat.wait(seat.timing.view_timeout_ms))
    steps.append(seat.hear(seat.forge.tc_of(4, seat.forge.certify(tips[2]))))
    saves = 0
    for effects in steps:
        kinds = [type(effect) for effect in effects]
        sends = [place for place, kind in enumerate(kinds) if kind in (Send, Broadcast)]
        for place, kind in enumerate(kinds):
            if kind is Save:
                saves += 1
                assert not sends or place < max(sends)
    assert saves >= 5


class TestCommitNewerThanTheRecord:
    """A commit reaches the disk before the record of its step; the power fails between the two."""

    def recovered(self, seat: Seat, tips: list[Tip], record_after: int) -> Recovered:
        """Tips 1 to 3 are committed, proved by QCs 3 and 4; the record is of the moment after voting `record_after`."""
        count = len(seat.chain.validators)
        forge = seat.forge
        vote = forge.vote(tips[record_after - 1].vote_body(View(record_after)), seat.me)
        entry = tips[record_after - 1].justify
        record = SafetyRecord(
            tips[0].header.epoch, entry, View(record_after), vote, View(0), None, View(0), None,
            tips[record_after - 1].id, entry,
        )  # fmt: skip
        return Recovered(
            SafetyRecord.decode(record.encode(), count),
            forge.genesis_qc.body.block_id,
            Height(0),
            View(0),
            effective_start(count),
            committed=tuple(tips[:3]),
            certificates=(tips[3].justify, forge.certify(tips[3])),
        )

    @pytest.mark.parametrize("record_after", [1, 2, 3])
    def test_its_certificates_count_so_that_no_timeout_contradicts_an_earlier_vote(self, record_after):
        seat = Seat(me=3)
        tips = seat.forge.chain_of(4)
        replica = Replica(seat.chain, node_key(3), ReplicaTiming(), self.recovered(seat, tips, record_after))
        assert replica.state.high_qc.view == 4
        assert replica.state.high_tip is None
        assert replica.state.entry.view == 4
        assert replica.state.silent_view == 5
        seat.replica = replica
        seat.step(Started())
        (timeout,) = seat.said(Timeout, seat.wait(seat.timing.view_timeout_ms))
        assert (timeout.view, timeout.body.qc_view) == (5, 4)


def test_committed_batches_that_are_missing_are_asked_for_after_a_restart():
    seat = Seat(me=3)
    digest = Digest(no_block("batch"))
    lanes = {0: (0, ((digest, 5),))}
    reports = tuple(seat.forge.report(1, validator, seat.now.wall_ms + 1, lanes) for validator in (0, 1, 2))
    tip = seat.forge.tip(1, seat.forge.genesis_qc, reports=reports)
    genesis = seat.forge.genesis_qc.body
    for held in ((), ((ValidatorIndex(0), Seq(1), digest, Milliseconds(seat.now.wall_ms), True),)):
        recovered = Recovered(
            None, genesis.block_id, Height(0), View(0), effective_start(4), committed=(tip,), held=held
        )  # fmt: skip
        seat.replica = Replica(seat.chain, node_key(3), ReplicaTiming(), recovered)
        effects = seat.step(Started())
        needed = [batch.digest for need in seat.asked(NeedBatches, effects) for batch in need.batches]
        assert needed == ([] if held else [digest])
        (report,) = seat.said(LaneReport, effects)
        assert report.lanes[0].base_seq == (1 if held else 0)


def test_the_record_survives_its_encoding_whole():
    seat, tips = seated(4, me=1)
    tip = seat.forge.tip(4, seat.forge.certify(tips[-1]))
    seat.hear(seat.forge.proposal(4, tip), 1)
    seat.wait(2 * seat.timing.view_timeout_ms)
    record = seat.state.record()
    assert record.vote is not None
    assert record.timeout is not None
    assert SafetyRecord.decode(record.encode(), 4) == record
    bare = replace(record, vote=None, timeout=None, high_tip_id=None, entry=seat.forge.tc_of(3, record.high_qc))
    assert SafetyRecord.decode(bare.encode(), 4) == bare


def test_a_record_is_read_strictly():
    seat, _ = seated(3)
    raw = seat.state.record().encode()
    for changed in (raw + b"\x00", raw[:-1], b""):
        with pytest.raises(DecodeError):
            SafetyRecord.decode(changed, 4)


def test_a_tip_voted_for_below_the_highest_is_stored_too():
    """A re-proposal of a tip that a QC of ours covers: the next leader may need it of us all the same."""
    seat, tips = seated(3)
    qc = seat.forge.certify(tips[-1])
    made = [seat.forge.tip(3, qc, reports=seat.forge.reports(3, qc.body.ts_ms + late)) for late in (1, 9)]
    high, low = sorted(made, key=lambda tip: tip.id)
    seat.hear(seat.forge.proposal(3, high), 2)
    seat.hear(seat.forge.proposal(4, low, seat.forge.tc(3, dict.fromkeys((0, 1, 2), low))), 1)
    assert seat.state.voted_view == 4
    assert low.id in seat.stored


def test_in_a_view_that_was_entered_by_a_tc_its_leader_gets_our_timeout_again():
    seat, tips = seated(3)
    qc = seat.forge.certify(tips[-1])
    tip = seat.forge.tip(3, qc)
    seat.hear(seat.forge.proposal(3, tip), 2)
    (timeout,) = seat.said(Timeout, seat.wait(seat.timing.view_timeout_ms))
    seat.hear(seat.forge.tc(3, {0: qc, 1: tip, 2: tip}))
    effects = seat.restart()
    assert seat.state.view == 4
    assert seat.said(Timeout, effects) == [timeout]
    assert seat.sent_to(Timeout, effects) == seat.sent_to(Tip, effects) == [seat.forge.leader(4)]
