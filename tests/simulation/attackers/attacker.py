"""What every attacker is: a member of an adversary with one habit, told of views and of time.

Responsible for: the interface, and for joining the habits of several members and of one.
Refuses to do: use an honest key. Members share what the adversary has seen, which is everything.

An attacker that *possesses* runs the member's honest node and changes what that node sends; others speak for the member
beside it. A member may have several habits.
"""

import random
from collections.abc import Iterable, Mapping, Sequence

from consensus.numbers import ValidatorIndex
from consensus.replica.effects import Effect, EnterView, Message
from consensus.vocabulary.certificates import QC, TC, Certificate
from consensus.vocabulary.tip import Tip
from tests.simulation.adversary import Adversary
from tests.simulation.cluster import Sent
from tests.simulation.node import Node

Said = tuple[float, Message]  # how many ms later, and what


class Attacker:
    """One habit of one member."""

    possesses = True
    needs_whole_nodes = False
    needs_replicas = False

    def __init__(self, adversary: Adversary, member: int, rng: random.Random) -> None:
        self.adversary = adversary
        self.cluster = adversary.cluster
        self.forge = adversary.forge
        self.member = ValidatorIndex(member)
        self.random = rng
        self.honest: list[int] = [node.index for node in self.cluster.honest]

    # what a habit may do

    def begin(self) -> None:
        """Before the nodes start."""

    def lie(self, sent: Sent) -> Iterable[Said]:
        """What the possessed node says instead of this message."""
        return ((0.0, sent.message),)

    def on_view(self, view: int) -> None:
        """The first honest node has entered `view`."""

    def on_tick(self, view: int) -> None:
        """Two ms have passed; `view` is the highest of an honest node."""

    # what habits are made of

    def leads(self, view: int) -> bool:
        return self.cluster.leader(view) == self.member

    def some(self) -> list[int]:
        """A few honest nodes, or all."""
        return self.random.sample(self.honest, self.random.randrange(1, len(self.honest) + 1))

    def halves(self) -> tuple[list[int], list[int]]:
        """The honest nodes in two parts, the first no larger."""
        mixed: list[int] = self.random.sample(self.honest, len(self.honest))
        middle = self.random.randrange(1, len(mixed) // 2 + 1) if len(mixed) > 1 else 1
        return mixed[:middle], mixed[middle:]

    def entry_of(self, view: int) -> Certificate | None:
        """A certificate by which `view` could be entered."""
        return self.adversary.qcs.get(view - 1) or self.adversary.tcs.get(view - 1)

    def recent_tips(self, view: int) -> list[Tip]:
        """Tips of the last views, the newest last."""
        return self.adversary.recent_tips(view - 6, view)

    def ground(self, view: int) -> tuple[QC, TC | None] | None:
        """What a valid fresh tip of `view` can stand on: QC(view − 1), or a TC(view − 1) whose high is a QC."""
        justify = self.adversary.qc(view - 1)
        if justify is not None:
            return justify, None
        entry = self.any_tc(view - 1)
        if entry is None or entry.high.names_tip:
            return None
        base = self.adversary.qc(entry.high.qc_view)
        return (base, entry) if base is not None else None

    def any_tc(self, view: int, tries: int = 1) -> TC | None:
        """A TC of `view`: of `tries` random sets of signers the one with the lowest high."""
        signers = sorted(set(self.adversary.timeouts[view]) - set(self.adversary.members))
        lowest: TC | None = None
        for _ in range(tries):
            found = self._make_tc(view, self.random.sample(signers, len(signers)))
            if found is not None and (lowest is None or found.high.rank < lowest.high.rank):
                lowest = found
        return lowest

    def _make_tc(self, view: int, signers: Sequence[int]) -> TC | None:
        validators, members = self.cluster.chain.validator_set, self.adversary.members
        for size in range(len(signers) + 1):
            if validators.is_quorum({*signers[:size], *members}):
                return self.adversary.tc(view, signers[:size], self.adversary.qcs[0])
        return None


class Attackers:
    """All habits of all members, at work on one cluster."""

    def __init__(self, habits: Mapping[int, Sequence[Attacker]]) -> None:
        self._habits = {member: list(found) for member, found in habits.items()}
        self._all = [attacker for found in self._habits.values() for attacker in found]
        self._entered: set[int] = set()
        if not self._all:
            return
        self._cluster = self._all[0].cluster
        for member, found in self._habits.items():
            if any(attacker.possesses for attacker in found):
                self._cluster.possessed.add(member)
                self._cluster.lies[member] = self._tell
        self._cluster.observers.append(self._observe)
        for attacker in self._all:
            attacker.begin()

    @property
    def names(self) -> list[str]:
        """Of the habits, sorted."""
        return sorted({type(attacker).__name__ for attacker in self._all})

    def tick(self, view: int) -> None:
        """Two ms have passed."""
        for attacker in self._all:
            attacker.on_tick(view)

    def _observe(self, node: Node, effect: Effect) -> None:
        if isinstance(effect, EnterView) and effect.view not in self._entered and node.index in self._all[0].honest:
            self._entered.add(effect.view)
            for attacker in self._all:
                self._cluster.after(0, lambda attacker=attacker: attacker.on_view(effect.view))  # type: ignore[misc]

    def _tell(self, sent: Sent) -> Iterable[Said]:
        """One habit after the other changes what is said."""
        said: list[Said] = [(0.0, sent.message)]
        for attacker in self._habits[sent.sender]:
            said = [
                (delay_ms + later_ms, changed)
                for delay_ms, message in said
                for later_ms, changed in attacker.lie(Sent(sent.sender, sent.receiver, message))
            ]
        return said
