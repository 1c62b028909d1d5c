"""The faults of one schedule, as its shape says, until they end.

Responsible for: losing, doubling and delaying messages; partitions, one-way cuts and resets of links; crashes between
any two effects, power cuts of all, restarts; clocks.
Refuses to do: anything once `end` was called.
"""

from consensus.replica.effects import Effect
from consensus.vocabulary.certificates import QC, TC
from consensus.vocabulary.messages import Proposal, Timeout, Vote
from consensus.vocabulary.tip import Tip
from tests.simulation.cluster import Cluster, Sent
from tests.simulation.dice import Dice
from tests.simulation.node import Node
from tests.simulation.shape import Shape

LATENCIES_MS = ((0.5, 1.5), (0.5, 6.0), (2.0, 20.0))
HOUR_MS = 3_600_000
LATE_MS = 60.0


class Faults:
    """See the module."""

    def __init__(self, cluster: Cluster, shape: Shape, dice: Dice) -> None:
        self._cluster = cluster
        self._shape = shape
        self._dice = dice
        self._honest = [node.index for node in cluster.honest]
        self._sides: dict[int, set[int]] = {}  # view → honest nodes that see no proposal of it
        self._late: dict[int, tuple[set[int] | None, float]] = {}  # view → whose timeouts are lost, and until when
        self._cut: set[tuple[int, int]] = set()  # directed links that carry nothing
        self._has_ended = False
        self.clock_jumped = False
        cluster.latency_ms = shape.latency_ms
        cluster.sync_ms = shape.sync_ms
        cluster.drops = self._drops
        cluster.copies = self._copies
        cluster.before_effect = self._crashes
        self._set_clocks()

    def _set_clocks(self) -> None:
        rng = self._dice.stream("clock")
        for node in self._cluster.honest:
            node.clock_offset_ms = rng.randrange(-self._shape.skew_ms, self._shape.skew_ms + 1)
            node.clock_rate = 1 + rng.uniform(-self._shape.drift, self._shape.drift)

    def end(self) -> None:
        """The network, the disks and the clocks are well from now on; everybody comes back."""
        cluster = self._cluster
        self._has_ended = True
        self._cut.clear()
        cluster.before_effect, cluster.groups = None, None
        cluster.latency_ms, cluster.sync_ms = (0.5, 1.5), 0.0
        for node in cluster.honest:
            if self.clock_jumped:
                node.clock_offset_ms = 0
            if not node.alive:
                node.start()
        cluster.reconnect()

    # messages

    def _drops(self, sent: Sent) -> bool:
        if self._has_ended:
            return False
        shape, strikes = self._shape, self._dice.strikes
        if (sent.sender, sent.receiver) in self._cut or strikes("drop", shape.drop):
            return True
        match sent.message:
            case Proposal() | Tip():
                return sent.receiver in self._dark_side(sent.message.view)
            case QC() | TC():
                return strikes("hide", shape.hide)
            case Vote():
                is_dark = sent.receiver in self._dark_side(sent.message.body.view)
                return is_dark or strikes("hide", shape.hide / 2)
            case Timeout():
                return sent.sender in self._late_side(sent.message.view) or strikes("hide", shape.hide / 3)
            case _:
                return False

    def _copies(self, sent: Sent) -> int:
        return 2 if not self._has_ended and self._dice.strikes("duplicate", self._shape.duplicate) else 1

    def _dark_side(self, view: int) -> set[int]:
        side = self._sides.get(view)
        if side is None:
            side = set()
            if self._dice.strikes("split", self._shape.split):
                rng = self._dice.stream("sides")
                side = set(rng.sample(self._honest, rng.randrange(1, len(self._honest))))
            self._sides[view] = side
        return side

    def _late_side(self, view: int) -> set[int]:
        """Honest nodes whose timeouts of a view nobody gets in time: its TC is made of the others' and of lies."""
        side, until_ms = self._late.get(view, (None, 0.0))
        if side is None:
            side = set()
            if self._dice.strikes("late", self._shape.late):
                rng = self._dice.stream("lates")
                side = set(rng.sample(self._honest, rng.randrange(1, len(self._honest) // 2 + 1)))
            until_ms = self._cluster.time_ms + LATE_MS
            self._late[view] = side, until_ms
        return side if self._cluster.time_ms < until_ms else set()

    # the rest, every tick

    def tick(self) -> None:
        """Links, clocks and power."""
        if self._has_ended:
            return
        cluster, shape, dice = self._cluster, self._shape, self._dice
        if dice.strikes("latency", shape.latency_change):
            cluster.latency_ms = dice.stream("latencies").choice(LATENCIES_MS)
        if dice.strikes("jump", shape.clock_jump):
            self._jump()
        if dice.strikes("partition", shape.partition):
            self._partition()
        elif cluster.groups is not None and dice.stream("heal").random() < 0.15:
            cluster.heal()
        if dice.strikes("one_way", shape.one_way):
            self._cut_one_way()
        elif self._cut and dice.stream("heal").random() < 0.1:
            self._cut.clear()
            cluster.reconnect()
        if dice.strikes("reset", shape.reset):
            one, other = dice.stream("resets").sample(range(cluster.count), 2)
            cluster.reset_link(one, other)
        if dice.strikes("power_cut", shape.power_cut):
            for node in cluster.honest:
                self._stop(node)

    def _jump(self) -> None:
        rng = self._dice.stream("jumps")
        self.clock_jumped = True
        rng.choice(self._cluster.honest).clock_offset_ms += rng.choice((-HOUR_MS, -50, 50, HOUR_MS))

    def _partition(self) -> None:
        rng = self._dice.stream("partitions")
        side = set(rng.sample(self._honest, rng.randrange(1, len(self._honest))))
        twins: dict[int, int] = {twin.index: twin.instance for twin in self._cluster.twins}
        here = set(self._cluster.byzantine)
        there = {twins.get(index, index) for index in here}
        self._cluster.partition(side | here, (set(self._honest) - side) | there)

    def _cut_one_way(self) -> None:
        rng = self._dice.stream("one_ways")
        deaf = set(rng.sample(self._honest, rng.randrange(1, len(self._honest))))
        speakers = set(rng.sample(range(self._cluster.count), rng.randrange(1, self._cluster.count)))
        self._cut.update((sender, receiver) for sender in speakers for receiver in deaf if sender != receiver)

    # crashes

    def _crashes(self, node: Node, _effect: Effect) -> bool:
        """Anywhere between two effects, so also between a save and what it was for."""
        if self._has_ended or not self._dice.strikes("crash", self._shape.crash):
            return False
        self._restart_later(node)
        return True

    def _stop(self, node: Node) -> None:
        if node.alive:
            node.crash()
            self._restart_later(node)

    def _restart_later(self, node: Node) -> None:
        def restart() -> None:
            if not node.alive and not self._has_ended:
                self._cluster.start(node.index)

        self._cluster.after(self._dice.stream("restarts").uniform(1, 80), restart)
