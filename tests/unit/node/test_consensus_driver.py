"""The driver keeps the order of saves when one step makes the next one happen at once."""

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

    def step(self, event, now):
        record = first_record(CHAIN)
        if isinstance(event, Started):
            return [NeedBatches(()), Save(record, ())]
        return [Save(type(record)(*(2 if name == "voted_view" else getattr(record, name) for name in FIELDS)), ())]


FIELDS = list(first_record(CHAIN).__dataclass_fields__)


async def test_a_step_caused_by_an_effect_saves_after_the_step_that_caused_it():
    outbox = Outbox()

    def batches_needed(_needed):
        driver.handle(TimerFired(Timer.FETCH))

    driver = ConsensusDriver(
        chain=CHAIN,
        replica=Replica(),
        outbox=outbox,
        store=None,
        listener=ConsensusListener(lambda commit: None, lambda confirm: None, batches_needed),
        metrics=Metrics("test"),
        failpoints=Failpoints(),
    )
    driver.handle(Started())
    older, newer = (puts[b"sr"] for puts in outbox.puts)
    assert first_record(CHAIN).encode() in older
    assert first_record(CHAIN).encode() not in newer
