"""One replica among forged peers: a test tells it what it hears and looks at what it says.

Time stands still until `wait`; timers that become due then fire in order. `restart` gives a new replica what the last
`Save` left on disk, and nothing else.
"""

from typing import TypeVar

from consensus.clock import Now
from consensus.encoding import decode_whole
from consensus.genesis import Genesis
from consensus.numbers import Height, Milliseconds, ValidatorIndex, View
from consensus.ordering.effective import effective_start
from consensus.replica.effects import Broadcast, Effect, Message, PeerFault, Save, Send, SetTimer
from consensus.replica.events import Event, Started, Timer, TimerFired
from consensus.replica.replica import Replica
from consensus.replica.safety import SafetyRecord
from consensus.replica.state import Recovered, ReplicaTiming, State, received
from consensus.vocabulary.certificates import QC
from consensus.vocabulary.tip import Tip
from tests.simulation.cluster import reencode
from tests.simulation.forge import START_MS, Forge
from tests.simulation.keys import make_genesis, node_key

Kind = TypeVar("Kind")


class Seat:
    """See the module."""

    def __init__(
        self, me: int = 0, stakes: tuple[int, ...] = (1, 1, 1, 1), timing: ReplicaTiming | None = None
    ) -> None:
        self.chain: Genesis = make_genesis(stakes)
        self.forge = Forge(self.chain)
        self.me = me
        self.timing = timing or ReplicaTiming()
        self.time_ms = 0.0
        self.wall_offset_ms = 0
        self.effects: list[Effect] = []
        self.timers: dict[Timer, float] = {}
        self.record: bytes | None = None
        self.stored: dict[bytes, bytes] = {}
        self._boot()

    def _boot(self) -> None:
        count = len(self.chain.validators)
        record = SafetyRecord.decode(self.record, count) if self.record else None
        tips = tuple(decode_whole(raw, lambda reader: Tip.decode(reader, count)) for raw in self.stored.values())
        genesis = self.forge.genesis_qc.body
        recovered = Recovered(record, genesis.block_id, Height(0), View(0), effective_start(count), tips=tips)
        self.timers = {}
        self.replica = Replica(self.chain, node_key(self.me), self.timing, recovered)

    @property
    def state(self) -> State:
        return self.replica.state

    @property
    def now(self) -> Now:
        return Now(Milliseconds(int(START_MS + self.time_ms + self.wall_offset_ms)), self.time_ms)

    def start(self) -> list[Effect]:
        return self.step(Started())

    def restart(self) -> list[Effect]:
        self._boot()
        return self.start()

    def step(self, event: Event) -> list[Effect]:
        """One step; its effects are noted, saved and returned."""
        effects = self.replica.step(event, self.now)
        for effect in effects:
            match effect:
                case SetTimer(timer, None):
                    self.timers.pop(timer, None)
                case SetTimer(timer, at_mono_ms) if at_mono_ms is not None:
                    self.timers[timer] = at_mono_ms
                case Save(record, tips):
                    self.record = record.encode()
                    self.stored.update({tip.id: tip.encoded for tip in tips})
                case _:
                    pass
        self.effects.extend(effects)
        return effects

    def hear(self, message: Message, sender: int | None = None) -> list[Effect]:
        """A message from a link; by default from another validator than ourselves."""
        source = (self.me + 1) % len(self.chain.validators) if sender is None else sender
        decoded = reencode(message, len(self.chain.validators))
        return self.step(received(ValidatorIndex(source), decoded))

    def wait(self, duration_ms: float) -> list[Effect]:
        """Lets time pass; returns the effects of all timers that fired."""
        end, before = self.time_ms + duration_ms, len(self.effects)
        while self.timers and min(self.timers.values()) <= end:
            timer = min(self.timers, key=self.timers.__getitem__)
            self.time_ms = max(self.time_ms, self.timers.pop(timer))
            self.step(TimerFired(timer))
        self.time_ms = end
        return self.effects[before:]

    def enter(self, view: int) -> list[Tip]:
        """Takes the replica into `view` by fresh proposals and QCs of all views before; returns those tips."""
        tips: list[Tip] = []
        justify: QC = self.forge.genesis_qc
        for earlier in range(1, view):
            tips.append(self.forge.tip(earlier, justify))
            self.hear(self.forge.proposal(earlier, tips[-1]), self.forge.leader(earlier))
            justify = self.forge.certify(tips[-1])
            self.hear(justify)
        assert self.state.view == view
        return tips

    # what it said

    def said(self, kind: type[Kind], effects: list[Effect] | None = None) -> list[Kind]:
        """Messages of this type that were sent (to anybody), each once, in order."""
        found: list[Kind] = []
        for effect in self.effects if effects is None else effects:
            message = effect.message if isinstance(effect, Send | Broadcast) else None
            if isinstance(message, kind) and message not in found:
                found.append(message)
        return found

    def sent_to(self, kind: type[Kind], effects: list[Effect] | None = None) -> list[int]:
        """To whom messages of this type went; −1 for everybody."""
        receivers = []
        for effect in self.effects if effects is None else effects:
            if isinstance(effect, Send) and isinstance(effect.message, kind):
                receivers.append(int(effect.to))
            elif isinstance(effect, Broadcast) and isinstance(effect.message, kind):
                receivers.append(-1)
        return receivers

    def asked(self, kind: type[Kind], effects: list[Effect] | None = None) -> list[Kind]:
        """Effects of this type."""
        return [effect for effect in (self.effects if effects is None else effects) if isinstance(effect, kind)]

    def faults(self, effects: list[Effect] | None = None) -> list[tuple[int, str]]:
        """Whom it blamed, and why."""
        return [(int(fault.sender), fault.reason) for fault in self.asked(PeerFault, effects)]
