"""One schedule: a world drawn from a seed, its faults and attackers, then peace, and everything that must hold.

Responsible for: composing cluster, faults, attackers and traffic; the end; the trace's hash.
Refuses to do: decide how many there are (`campaign_runner.py`).

Invariants:
1. Everything that happens follows from the seed and the options: the same ones give the same trace on every machine.
"""

import hashlib
from dataclasses import dataclass

from consensus.vocabulary.receipt import Receipt
from tests.simulation.adversary import Adversary
from tests.simulation.attackers.attacker import Attacker, Attackers
from tests.simulation.attackers.roster import available, draw_habits
from tests.simulation.bounds import check_bounds
from tests.simulation.cluster import Cluster, Sent
from tests.simulation.dice import Dice
from tests.simulation.faults import Faults
from tests.simulation.moves import RandomMoves
from tests.simulation.order_checks import Placed, Run, check_fairness, check_inclusion, place_batches
from tests.simulation.shape import draw_shape
from tests.simulation.timing import TIMING
from tests.simulation.whole.cluster import WholeCluster
from tests.simulation.whole.receipts import check_receipts

TICK_MS = 2.0
WHOLE_SHARE = 0.2
RANDOM_SHARE = 0.5  # of Byzantine validators that also make moves at random
DURATIONS_MS = (20.0, 20.0, 30.0, 30.0, 30.0, 60.0, 60.0, 100.0, 300.0)
PEACE_LIMIT_MS = 8_000.0
VIEWS_OF_PEACE = 4  # per validator, until everything is final


@dataclass(frozen=True)
class Options:
    """What of the draw is overruled."""

    whole: bool | None = None
    duration_ms: float | None = None
    only: tuple[str, ...] | None = None  # the faults that may strike
    stakes: tuple[int, ...] | None = None
    habits: tuple[str, ...] | None = None  # of every Byzantine validator


@dataclass(frozen=True)
class Result:
    """What one schedule came to."""

    seed: int
    trace_hash: str
    is_whole: bool
    validators: int
    views: int
    views_of_peace: int
    blocks: int
    pairs_judged: int
    receipts: int
    struck: tuple[str, ...]
    habits: tuple[str, ...]


class Schedule:
    """See the module."""

    def __init__(self, seed: int, options: Options | None = None) -> None:
        self.options = options = options or Options()
        self.seed = seed
        self.dice = Dice(seed, options.only)
        self.shape = draw_shape(self.dice.stream("shape"), options.stakes)
        drawn_whole = self.dice.stream("whole").random() < WHOLE_SHARE
        self.is_whole = drawn_whole if options.whole is None else options.whole
        self.duration_ms = options.duration_ms or self.dice.stream("duration").choice(DURATIONS_MS)
        self.cluster: Cluster = self._make_cluster()
        self.trace = hashlib.sha256()
        self.promised: tuple[Receipt, ...] = ()  # the receipts that had been given when all waits for them to be kept
        members = self.shape.byzantine
        self.adversary = Adversary(self.cluster, *members) if members else None
        self.honest = [node.index for node in self.cluster.honest]
        self.moves = [
            RandomMoves(self.adversary, member, self.dice.stream(f"moves {member}"))
            for member in members
            if self.adversary is not None and self.dice.stream("random").random() < RANDOM_SHARE
        ]
        habits = self._draw_habits(members)
        self.attackers = Attackers(habits)
        self.faults = Faults(self.cluster, self.shape, self.dice)
        self._listen()

    def _draw_habits(self, members: tuple[int, ...]) -> dict[int, list[Attacker]]:
        if self.adversary is None:
            return {}
        if self.options.habits is None:
            return draw_habits(self.adversary, members, self.dice.stream("habits"), whole=self.is_whole)
        kinds = {kind.__name__: kind for kind in available(whole=self.is_whole)}
        rng = self.dice.stream("habits")
        return {m: [kinds[name](self.adversary, m, rng) for name in self.options.habits] for m in members}

    def _make_cluster(self) -> Cluster:
        if not self.is_whole:
            return Cluster(self.shape.stakes, self.seed, TIMING)
        cluster = WholeCluster(self.shape.stakes, self.seed, TIMING)
        cluster.bytes_per_ms = self.shape.bytes_per_ms
        cluster.batch_sync_ms = self.shape.batch_sync_ms
        return cluster

    def _listen(self) -> None:
        seen = self.cluster.on_transmit

        def see(sent: Sent) -> None:
            self.trace.update(b"%f %d %d" % (self.cluster.time_ms, sent.sender, sent.receiver) + sent.message.encoded)
            if seen is not None:
                seen(sent)

        self.cluster.on_transmit = see

    def run(self) -> Result:
        """Fails with an `AssertionError` if anything is wrong at any time."""
        cluster = self.cluster
        try:
            cluster.start()
            self._tick()
            cluster.run(self.duration_ms)
            views_of_peace = self._make_peace()
            cluster.check()
            pairs = self._check_order()
            receipts = check_receipts(cluster, self.promised) if isinstance(cluster, WholeCluster) else 0
        finally:
            if isinstance(cluster, WholeCluster):
                cluster.close()
        return Result(
            self.seed,
            self.trace.hexdigest(),
            self.is_whole,
            cluster.count,
            self._view(),
            views_of_peace,
            len(cluster.blocks),
            pairs,
            receipts,
            tuple(self.dice.struck),
            tuple(self.attackers.names),
        )

    def _view(self) -> int:
        return max((node.core.state.view for node in self.cluster.honest if node.alive), default=1)

    def _tick(self) -> None:
        cluster, dice = self.cluster, self.dice
        if cluster.time_ms >= self.duration_ms:
            return
        traffic = dice.stream("traffic")
        if traffic.random() < self.shape.traffic:
            alive = [node.index for node in cluster.honest if node.alive]
            if alive:
                cluster.batch(traffic.choice(alive))
        self.faults.tick()
        attack, view = dice.stream("attack"), self._view()
        self.attackers.tick(view)
        for moves in self.moves:
            while attack.random() < self.shape.attack / (1 + self.shape.attack):
                moves.act(max(1, view - attack.choice((0, 0, 0, 1, 2))))
        for node in cluster.honest:
            if node.alive:
                check_bounds(node)
        cluster.after(TICK_MS, self._tick)

    # the end

    def _make_peace(self) -> int:
        """After the faults everything promised becomes final on every honest node. Returns the views it took."""
        cluster = self.cluster
        if isinstance(cluster, WholeCluster):  # first, or what is sent as the links open is on its way for long
            cluster.batch_sync_ms, cluster.bytes_per_ms = 0.3, None
        self.faults.end()
        last = cluster.batch(self.honest[0])
        before = self._view()
        if isinstance(cluster, WholeCluster):
            wanted = cluster.await_receipt(last) | cluster.promised()
            self.promised = tuple(cluster.receipts)
        else:
            wanted = {digest for author in self.honest for digest in cluster.lanes[author]}
        cluster.run_until(lambda: wanted <= cluster.ordered_set, limit_ms=PEACE_LIMIT_MS)
        views = self._view() - before
        height = len(cluster.blocks)
        cluster.run_until(lambda: all(len(node.committed) >= height for node in cluster.honest), PEACE_LIMIT_MS)
        if isinstance(cluster, WholeCluster):
            cluster.await_everything(height, PEACE_LIMIT_MS)
        assert views <= VIEWS_OF_PEACE * cluster.count, f"{views} views until everything was final"
        return views

    def _check_order(self) -> int:
        """Inclusion and fairness; with clocks that jump nothing is promised."""
        if self.faults.clock_jumped:
            return 0
        placed, run = self.place_batches(), self.judged_by()
        return check_fairness(placed, run) + check_inclusion(placed, run)

    def place_batches(self) -> list[Placed]:
        """The committed batches of lanes that nobody forked, with their arrivals."""
        cluster = self.cluster
        return place_batches(cluster.blocks, cluster.arrivals_by_digest(), self.honest, cluster.forked_lanes())

    def judged_by(self) -> Run:
        """What order is judged by."""
        bound = self.cluster.chain.parameters.lane_report_batches
        return Run(self.cluster.blocks, self.honest, bound, self.delta_ms)

    @property
    def delta_ms(self) -> int:
        """The largest difference between honest clocks that did not jump."""
        offsets = [node.clock_offset_ms for node in self.cluster.honest]
        drift_ms = 2 * self.shape.drift * self.cluster.time_ms
        return max(offsets) - min(offsets) + int(drift_ms) + 2
