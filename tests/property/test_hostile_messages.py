"""Whatever one Byzantine peer sends, a replica keeps little of it, blames nobody else, and goes on.

The peer signs with its own key, names any view, repeats and invents; it also passes on what others signed.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import limits
from consensus.numbers import BlockId, Height, Milliseconds, View
from consensus.replica.effects import Message
from consensus.replica.state import QCS_KEPT
from consensus.replica.tree import TIPS_PER_VIEW_MAX
from consensus.signing import sha256
from consensus.vocabulary.certificates import QC, VoteBody
from consensus.vocabulary.messages import Proposal, Timeout, Vote
from consensus.vocabulary.tip import Tip
from tests.simulation.seat import Seat

PEER = 1
COUNT = 4
HUGE_VIEWS = (2**32, 2**63, 2**64 - 2)


class Hostile:
    """Makes messages out of the peer's key and what an honest chain gave it."""

    def __init__(self, seat: Seat, tips: list[Tip], seed: int) -> None:
        self.rng = Random(seed)
        self.forge = seat.forge
        self.tips = tips
        self.qcs: list[QC] = [self.forge.genesis_qc, *(self.forge.certify(tip) for tip in tips)]
        self.kinds: tuple[Callable[[], Message], ...] = (
            self.vote,
            self.timeout,
            self.proposal,
            self.tip,
            self.report,
            self.certificate,
        )

    def any(self) -> Message:
        return self.rng.choice(self.kinds)()

    def view(self) -> View:
        near = self.rng.randrange(1, 30)
        return View(self.rng.choice(HUGE_VIEWS) if self.rng.random() < 0.1 else near)

    def id(self) -> BlockId:
        return BlockId(sha256(self.rng.randbytes(8)))

    def vote(self) -> Vote:
        view = self.view()
        block_view = View(self.rng.randrange(1, min(view, 40) + 1))
        body = VoteBody(
            self.tips[0].header.epoch, view, self.id(), block_view, Height(3), View(block_view - 1), Milliseconds(1)
        )
        report = self.forge.report(view + 1, PEER) if self.rng.random() < 0.3 and view < HUGE_VIEWS[1] else None
        return self.forge.vote(body, PEER, report)

    def timeout(self) -> Timeout:
        view = self.rng.randrange(2, 8)
        entry = self.rng.choice([qc for qc in self.qcs if qc.view >= view - 2] or self.qcs[-1:])
        highs: list[Tip | QC] = [*self.qcs, *self.tips]
        high = self.rng.choice(highs)
        timeout = self.forge.timeout(view, PEER, high, entry)
        if self.rng.random() < 0.4:
            body = replace(timeout.body, tip_view=View(view), tip_id=self.id(), qc_view=View(self.rng.randrange(view)))
            timeout = replace(timeout, body=body, signature=self.forge.sign_timeout(body, PEER), qc=None)
        return timeout

    def tip(self) -> Tip:
        """Fresh, in one of the peer's own views, on the QC it should stand on; each time another one."""
        qc = self.qcs[3]
        if self.forge.leader(4) != PEER or self.rng.random() < 0.3:
            return replace(self.rng.choice(self.tips), author_sig=self.rng.randbytes(65))
        reports = self.forge.reports(4, qc.body.ts_ms + self.rng.randrange(1, 500))
        return self.forge.tip(4, qc, reports=reports)

    def proposal(self) -> Proposal:
        tip = self.tip()
        proposal = self.forge.proposal(4, tip, leader=PEER)
        return proposal if self.rng.random() < 0.8 else replace(proposal, view=self.view())

    def report(self) -> Message:
        lanes = {0: (self.rng.randrange(2**40), ()), PEER: (0, ())}
        return self.forge.report(self.view(), PEER, self.rng.randrange(limits.TIMESTAMP_MS_MAX), lanes)

    def certificate(self) -> Message:
        if self.rng.random() < 0.5:
            return self.rng.choice(self.qcs[1:])
        return self.forge.tc(self.rng.randrange(1, 40), {PEER: self.qcs[0]})


def kept(seat: Seat) -> dict[str, tuple[int, int]]:
    """How much of everything there is, and how much there may be."""
    state = seat.state
    votes = sum(len(entries) for entries in state.votes._votes.values())
    timeouts = sum(len(entries) for entries in state.timeouts._timeouts.values())
    reports = sum(len(entries) for entries in state.reports._reports.values())
    views = limits.VIEWS_AHEAD + 2
    return {
        "votes": (votes, views * COUNT),
        "timeouts": (timeouts, 2 * COUNT),
        "reports": (reports, (limits.VIEWS_AHEAD + 1) * COUNT),
        "loose tips of a view": (len(state.tree._loose), TIPS_PER_VIEW_MAX * 8),
        "tips": (len(state.tree), TIPS_PER_VIEW_MAX * 8 + 2 * COUNT),
        "wanted tips": (len(state.wanted), 2 * COUNT),
        "QCs": (len(state.qcs), QCS_KEPT),
        "inbox": (len(state.inbox), 0),
        "timers": (len(state.deadlines), 5),
    }


@settings(max_examples=25)
@given(st.integers(0, 2**48))
def test_one_peer_fills_nothing_and_stops_nothing(seed):
    seat = Seat(me=0)
    seat.start()
    tips = seat.enter(4)
    hostile = Hostile(seat, tips, seed)
    for _ in range(60):
        seat.hear(hostile.any(), PEER)
        if hostile.rng.random() < 0.05:
            seat.wait(hostile.rng.uniform(1, 200))
    for what, (size, bound) in kept(seat).items():
        assert size <= bound, f"{size} {what}, at most {bound} expected"
    assert {sender for sender, _ in seat.faults()} <= {PEER}
    assert seat.state.view < 50
    view = max(6, seat.state.view + 1)
    view += seat.forge.leader(view) == seat.me  # else we would have to propose it ourselves
    qc = seat.state.high_qc
    proof = seat.forge.tc_of(view - 1, qc)
    reports = seat.forge.reports(view, max(seat.now.wall_ms, qc.body.ts_ms) + 1)
    tip = seat.forge.tip(view, qc, proof, reports)
    seat.effects.clear()
    seat.hear(seat.forge.proposal(view, tip), seat.forge.leader(view))
    assert seat.state.voted_view == view
