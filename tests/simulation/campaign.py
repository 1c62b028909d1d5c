"""A randomised attack on one cluster, repeatable from its seed.

Links delay, lose and split; clocks jump; disks are slow; honest nodes crash between any two effects and restart. One
Byzantine validator does what its key allows, aimed at what is hard: it splits the honest into two groups per view,
hides certificates and shows them late, prefers stale highs, equivocates, votes twice, lies about what it holds. Then
the faults stop.
"""

import hashlib
import random
from dataclasses import dataclass

from consensus.replica.effects import Effect
from consensus.vocabulary.certificates import QC, TC
from consensus.vocabulary.messages import Proposal, Timeout, Vote
from consensus.vocabulary.tip import Tip
from tests.simulation.adversary import Adversary
from tests.simulation.cluster import Cluster, Sent
from tests.simulation.moves import RandomMoves
from tests.simulation.node import Node
from tests.simulation.timing import TIMING

TICK_MS = 2.0
STAKES = ((1, 1, 1, 1), (1, 1, 1, 1), (1, 1, 1, 1), (3, 2, 2, 3), (1, 1, 1, 1, 1), (2, 1, 1, 1, 1, 1, 1))


@dataclass(frozen=True)
class Mood:
    """How hostile this run is: probabilities."""

    drop: float
    crash: float
    split: float
    hide: float
    attack: float

    @staticmethod
    def draw(rng: random.Random) -> "Mood":
        return Mood(
            drop=rng.choice((0.0, 0.0, 0.05, 0.2)),
            crash=rng.choice((0.0, 0.001, 0.01)),
            split=rng.choice((0.0, 0.3, 0.7)),
            hide=rng.choice((0.0, 0.3, 0.6)),
            attack=rng.choice((0.1, 0.3, 0.6)),
        )


class Campaign:
    """One run."""

    def __init__(self, seed: int, duration_ms: float = 400, stakes: tuple[int, ...] | None = None) -> None:
        self.random = random.Random(seed)
        self.duration_ms = duration_ms
        shape = stakes or self.random.choice(STAKES)
        self.cluster = Cluster(shape, seed, TIMING)
        self.mood = Mood.draw(self.random)
        self.cluster.sync_ms = self.random.choice((0.0, 0.0, 1.0, 10.0))
        self.byzantine = self.random.randrange(self.cluster.count)
        assert 3 * shape[self.byzantine] < sum(shape), "a Byzantine validator holds less than a third"
        self.adversary = Adversary(self.cluster, self.byzantine)
        self.honest = [node.index for node in self.cluster.honest]
        self.trace = hashlib.sha256()
        self._sides: dict[int, set[int]] = {}  # view → honest nodes that the attacker keeps in the dark
        self._quiet = False
        self._moves = RandomMoves(self.adversary, self.byzantine, self.random)
        seen = self.cluster.on_transmit
        assert seen is not None

        def see(sent: Sent) -> None:
            self.trace.update(b"%f %d %d" % (self.cluster.time_ms, sent.sender, sent.receiver) + sent.message.encoded)
            seen(sent)

        self.cluster.on_transmit = see
        self.cluster.drops = self._drops
        self.cluster.before_effect = self._crashes

    def run(self) -> Cluster:
        """Attacks, then lets the honest recover; fails if anything is wrong at any time."""
        cluster, rng = self.cluster, self.random
        for node in cluster.honest:
            node.clock_offset_ms = rng.randrange(-3, 4)
        cluster.start()
        self._tick()
        cluster.run(self.duration_ms)
        self._recover()
        cluster.check()
        return cluster

    def _recover(self) -> None:
        """After the faults: everything sealed is final on every honest node within a bounded number of views."""
        cluster = self.cluster
        self._quiet = True
        cluster.before_effect, cluster.groups = None, None
        cluster.latency_ms, cluster.sync_ms = (0.5, 1.5), 0.0
        for node in cluster.honest:
            node.clock_offset_ms = 0
            if not node.alive:
                node.start()
        cluster.reconnect()
        cluster.batch(self.honest[0])
        wanted = {digest for author in self.honest for digest in cluster.lanes[author]}
        before = self._view()
        cluster.run_until(lambda: wanted <= set(cluster.ordered), limit_ms=5_000)
        height = len(cluster.blocks)
        cluster.run_until(lambda: all(len(node.committed) >= height for node in cluster.honest), limit_ms=5_000)
        views = self._view() - before
        assert views <= 3 * cluster.count, f"{views} views until everything was final"

    def _view(self) -> int:
        return max((node.core.state.view for node in self.cluster.honest if node.alive), default=1)

    # faults

    def _tick(self) -> None:
        """Something random happens every few ms."""
        if self._quiet:
            return
        rng, cluster = self.random, self.cluster
        view = self._view()
        if rng.random() < 0.15:
            alive = [node.index for node in cluster.honest if node.alive]
            if alive:
                cluster.batch(rng.choice(alive))
        if rng.random() < 0.05:
            cluster.latency_ms = rng.choice(((0.5, 1.5), (0.5, 6.0), (2.0, 20.0)))
        if rng.random() < 0.01:
            rng.choice(cluster.honest).clock_offset_ms += rng.choice((-3_600_000, -50, 50, 3_600_000))
        if rng.random() < 0.03:
            side = set(rng.sample(self.honest, rng.randrange(1, len(self.honest))))
            cluster.partition(side | {self.byzantine}, (set(self.honest) - side) | {self.byzantine})
        elif cluster.groups is not None and rng.random() < 0.15:
            cluster.heal()
        for _ in range(3):
            if rng.random() < self.mood.attack:
                self._moves.act(max(1, view - rng.choice((0, 0, 0, 1, 2))))
        cluster.after(TICK_MS, self._tick)

    def _dark_side(self, view: int) -> set[int]:
        if view not in self._sides:
            is_split = self.random.random() < self.mood.split
            size = self.random.randrange(1, len(self.honest)) if is_split else 0
            self._sides[view] = set(self.random.sample(self.honest, size))
        return self._sides[view]

    def _drops(self, sent: Sent) -> bool:
        if self._quiet:
            return False
        rng = self.random
        if rng.random() < self.mood.drop:
            return True
        match sent.message:
            case Proposal() | Tip():
                return sent.receiver in self._dark_side(sent.message.view)
            case QC() | TC():
                return rng.random() < self.mood.hide
            case Vote():
                return sent.receiver in self._dark_side(sent.message.body.view) or rng.random() < self.mood.hide / 2
            case Timeout():
                return rng.random() < self.mood.hide / 3
            case _:
                return False

    def _crashes(self, node: Node, effect: Effect) -> bool:
        """Anywhere between two effects, so also between a save and what it was for."""
        if self._quiet or self.random.random() >= self.mood.crash:
            return False
        self.cluster.after(self.random.uniform(1, 80), lambda: self._restart(node))
        return True

    def _restart(self, node: Node) -> None:
        if not node.alive and not self._quiet:
            self.cluster.start(node.index)
