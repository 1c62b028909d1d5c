"""Honest code that is Byzantine all the same: with an older disk, or twice with one key."""

from tests.simulation.attackers.attacker import Attacker
from tests.simulation.node import Backup, Node


class RestartAmnesiac(Attacker):
    """Restarts now and then with its disk as it was some time ago."""

    def begin(self) -> None:
        self._backup: Backup | None = None

    @property
    def _node(self) -> Node:
        return self.cluster.nodes[self.member]

    def on_tick(self, view: int) -> None:
        node, chance = self._node, self.random.random()
        if not node.alive:
            return
        if chance < 0.05 or self._backup is None:
            self._backup = node.backup()
        elif chance < 0.1:
            node.crash()
            node.restore(self._backup)
            self.cluster.after(self.random.uniform(0, 10), self._start)

    def _start(self) -> None:
        if not self._node.alive:
            self.cluster.start(self.member)


class Twins(Attacker):
    """Two nodes of honest code with one key; partitions put them on different sides (Bano and others, "Twins: BFT
    Systems Made Robust", OPODIS 2021).
    """

    needs_replicas = True

    def begin(self) -> None:
        self.cluster.add_twin(self.member)
