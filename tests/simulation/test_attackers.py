"""Named attackers: one Byzantine validator of four that does one thing, whenever it can, for as long as it can."""

from collections.abc import Callable

import pytest

from consensus.numbers import View
from consensus.replica.effects import Effect, EnterView
from consensus.replica.state import ReplicaTiming
from consensus.vocabulary.certificates import QC
from consensus.vocabulary.messages import Timeout, Vote
from tests.simulation.adversary import Adversary
from tests.simulation.cluster import Cluster, Sent
from tests.simulation.node import Node

TIMING = ReplicaTiming(
    view_timeout_ms=40, view_timeout_max_ms=160, min_block_interval_loaded_ms=6, idle_interval_ms=6, fetch_delay_ms=5
)
DURATION_MS = 400.0
BYZANTINE = 2


class Attack:
    """A cluster with one Byzantine validator that is told of every view that an honest one enters, once."""

    def __init__(self) -> None:
        self.cluster = Cluster(timing=TIMING, seed=7)
        self.adversary = Adversary(self.cluster, BYZANTINE)
        self.honest = [node.index for node in self.cluster.honest]
        self.timed_out: set[int] = set()  # views that ended by a TC at an honest node
        self._entered: set[int] = set()
        self.cluster.observers.append(self._observe)

    def _observe(self, node: Node, effect: Effect) -> None:
        if isinstance(effect, EnterView):
            if effect.by_timeout:
                self.timed_out.add(effect.view - 1)
            if effect.view not in self._entered:
                self._entered.add(effect.view)
                self.cluster.after(0, lambda: self.on_view(effect.view))

    def on_view(self, view: int) -> None:
        """What the attacker does in a new view."""

    def leads(self, view: int) -> bool:
        return self.cluster.leader(view) == BYZANTINE

    def entry_of(self, view: int):
        return self.adversary.qcs.get(view - 1) or self.adversary.tcs.get(view - 1)

    def run(self) -> None:
        cluster = self.cluster
        cluster.start()
        digests = []
        for round_number in range(12):
            digests.append(cluster.batch(self.honest[round_number % 3]))
            cluster.run(DURATION_MS / 12)
        cluster.run_until(lambda: set(digests) <= set(cluster.ordered), limit_ms=2_000)
        cluster.check()


class HiddenLock(Attack):
    """As leader collects the votes for its proposal and shows the QC to one honest validator only."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster.drops = lambda sent: isinstance(sent.message, Vote) and self.leads(sent.message.body.view)

    def on_view(self, view: int) -> None:
        if self.leads(view) and (qc := self.adversary.qc(view - 1)) is not None:
            tip = self.adversary.fresh_tip(view, qc)
            if tip is not None:
                self.adversary.propose(view, tip, self.honest)
                self.cluster.after(4, lambda: self._show(view))

    def _show(self, view: int) -> None:
        qc = self.adversary.qc(view)
        if qc is not None:
            self.adversary.send(qc, [self.honest[view % 3]])


class Equivocator(Attack):
    """As leader shows one tip to one validator and another to the rest, and votes for both."""

    def on_view(self, view: int) -> None:
        qc = self.adversary.qc(view - 1)
        if not self.leads(view) or qc is None:
            return
        for salt, receivers in ((0, self.honest[:1]), (1, self.honest[1:])):
            tip = self.adversary.fresh_tip(view, qc, salt=salt)
            if tip is not None:
                self.adversary.propose(view, tip, receivers)
                self.adversary.vote(tip, view, self.honest)


class Withholder(Attack):
    """As leader makes a tip, shows it to nobody, and names it in its timeout, now and in the views after."""

    def on_view(self, view: int) -> None:
        if self.leads(view) and (qc := self.adversary.qc(view - 1)) is not None:
            self.adversary.fresh_tip(view, qc)
        withheld = max(self.adversary.tips.values(), key=lambda tip: tip.view, default=None)
        own = [tip for tip in self.adversary.tips.values() if tip.header.author == BYZANTINE]
        entry = self.entry_of(view)
        if own and withheld is not None and entry is not None:
            self.adversary.time_out(view, max(own, key=lambda tip: tip.view), entry, self.honest)


class EarlyTimer(Attack):
    """Times out in every view as soon as it begins."""

    def on_view(self, view: int) -> None:
        entry = self.entry_of(view)
        qcs = [qc for qc in self.adversary.qcs.values() if qc.view < view]
        if entry is not None:
            self.adversary.time_out(view, max(qcs, key=lambda qc: qc.view), entry, self.honest)


class FarFuture(Attack):
    """Votes like everybody, with reports from a clock that is a year ahead."""

    def on_view(self, view: int) -> None:
        ahead_ms = 365 * 24 * 3_600_000
        report = self.adversary.forge.report(view, BYZANTINE, self.cluster.nodes[0].now().wall_ms + ahead_ms)
        self.adversary.send(report, [self.cluster.leader(view)])


class DoubleVoter(Attack):
    """Votes for every tip it ever saw in every view, and repeats everybody's messages."""

    def on_view(self, view: int) -> None:
        for tip in list(self.adversary.tips.values())[-6:]:
            for late in (0, 1, 2):
                self.adversary.vote(tip, max(tip.view, view - late), self.honest)
        if view > 1:
            for qc in list(self.adversary.qcs.values())[-3:]:
                if qc.view:
                    self.adversary.send(qc, self.honest)


ATTACKS: list[Callable[[], Attack]] = [HiddenLock, Equivocator, Withholder, EarlyTimer, FarFuture, DoubleVoter]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_the_chain_goes_on_and_nobody_honest_is_blamed(attack):
    attack().run()


def test_one_that_times_out_early_ends_no_view_but_its_own():
    """Timer abuse: a witness set is needed, or the leader."""
    attack = EarlyTimer()
    attack.run()
    assert {attack.cluster.leader(view) for view in attack.timed_out} == {BYZANTINE}


def test_after_a_hidden_qc_no_view_of_an_honest_leader_is_lost_for_long():
    """Hidden-lock livelock: the one who knows the higher QC votes with the others."""
    attack = HiddenLock()
    attack.run()
    views = max(max(node.views) for node in attack.cluster.honest)
    assert len(attack.timed_out) <= views / 2
    assert len(attack.cluster.blocks) >= views / 4


def test_a_clock_a_year_ahead_moves_no_block_time():
    attack = FarFuture()
    attack.run()
    now_ms = max(node.now().wall_ms for node in attack.cluster.honest)
    assert all(block.tip.header.ts_ms <= now_ms for block in attack.cluster.blocks)


def test_nobody_waits_for_a_tip_that_is_withheld():
    """A withheld tip named by a TC: only the attacker's own views are lost."""
    attack = Withholder()
    attack.run()
    assert {attack.cluster.leader(view) for view in attack.timed_out} == {BYZANTINE}


def test_an_equivocators_tips_are_convicted_and_its_victims_are_not():
    attack = Equivocator()
    attack.run()
    guilty = {(item.rule, item.validator) for item in attack.cluster.watcher.convictions()}
    assert ("E1", BYZANTINE) in guilty
    assert {validator for _, validator in guilty} == {BYZANTINE}


def test_a_restart_while_timeouts_are_re_sent_hides_none_of_them():
    """Dedup swallowing re-broadcast timeouts: one validator is dead, one restarts when the others have timed out."""
    cluster = Cluster(timing=TIMING)
    cluster.start(0, 1, 2)
    cluster.run(30)
    lost: Callable[[Sent], bool] = lambda sent: isinstance(sent.message, Timeout | QC)  # noqa: E731
    cluster.drops = lost
    cluster.run(100)
    cluster.crash(1)
    cluster.drops = lambda sent: False
    cluster.run(100)
    cluster.start(1)
    digest = cluster.batch(0)
    cluster.run_until(lambda: digest in cluster.ordered, limit_ms=2_000)
    cluster.check()


def test_a_jump_of_views_needs_a_certificate_however_high_the_number_is():
    """View-number jumps: votes, timeouts and reports of absurd views move and keep nothing."""
    attack = Attack()
    cluster, forge = attack.cluster, attack.adversary.forge
    cluster.start()
    cluster.run(30)
    tip = next(iter(attack.adversary.tips.values()))
    for view in (10**6, 2**63, 2**64 - 2):
        attack.adversary.send(forge.vote(tip.vote_body(View(view)), BYZANTINE), attack.honest)
        attack.adversary.send(forge.report(view, BYZANTINE), attack.honest)
    cluster.run(30)
    cluster.check()
    for node in cluster.honest:
        assert node.core.state.view < 100
        assert len(node.core.state.votes._votes) <= 12
        assert len(node.core.state.reports._reports) <= 11
