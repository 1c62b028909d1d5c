"""The driver keeps the order of saves when one step makes the next one happen at once."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from consensus.numbers import View
from consensus.replica.effects import NeedBatches, Save
from consensus.replica.events import Started, Timer, TimerFired
from sequencer.node.consensus_driver import ConsensusDriver, ConsensusListener
from sequencer.node.failpoints import Failpoints
from sequencer.node.recovery import first_record
from sequencer.telemetry.metrics import Metrics
from tests.simulation.keys import make_genesis

CHAIN = make_genesis((1,))


class Outbox:
    """Remembers what was put, in order."""

    def __init__(self):
        self.puts = []

    def put(self, puts):
        self.puts.append(dict(puts))

    def post(self, deliver):
        deliver()


class Replica:
    """The first step needs a batch and saves view 1; the step that the batch causes saves view 2."""

    state = SimpleNamespace(me=0, view=1, voted_view=0, timeout_view=0, proposed_view=0)

    def step(self, event, now):
        record = first_record(CHAIN)
        if isinstance(event, Started):
            return [NeedBatches(()), Save(record, ())]
        return [Save(replace(record, voted_view=View(2)), ())]


async def test_a_step_caused_by_an_effect_saves_after_the_step_that_caused_it():
    outbox = Outbox()

    def batches_needed(_needed):
        driver.handle(TimerFired(Timer.FETCH))

    stand_ins: dict[str, Any] = {"replica": Replica(), "outbox": outbox, "store": None}
    driver = ConsensusDriver(
        chain=CHAIN,
        **stand_ins,
        listener=ConsensusListener(lambda commit: None, lambda confirm: None, batches_needed),
        metrics=Metrics("test"),
        failpoints=Failpoints(),
    )
    driver.handle(Started())
    older, newer = (puts[b"sr"] for puts in outbox.puts)
    assert first_record(CHAIN).encode() in older
    assert first_record(CHAIN).encode() not in newer
