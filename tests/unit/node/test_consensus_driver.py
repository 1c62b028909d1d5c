"""The driver keeps the order of saves when one step causes the next, and starts a replica after it has listened."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from consensus.errors import KeyUsedElsewhere
from consensus.numbers import Digest, Hash, Milliseconds, Seq, ValidatorIndex, View
from consensus.replica.effects import NeedBatches, Save
from consensus.replica.events import BatchHeld, CertificateReceived, PeerConnected, Started, Timer, TimerFired
from sequencer.node.consensus_driver import ConsensusDriver, ConsensusListener
from sequencer.node.failpoints import Failpoints
from sequencer.node.recovery import first_record
from sequencer.telemetry.metrics import Metrics
from tests.simulation.forge import Forge
from tests.simulation.keys import make_genesis

CHAIN = make_genesis((1,))
FORGE = Forge(CHAIN)
PEER = ValidatorIndex(0)


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
        listener=ConsensusListener(lambda commit: None, lambda confirm: lambda: None, batches_needed),
        metrics=Metrics("test"),
        failpoints=Failpoints(),
    )
    driver.handle(Started())
    older, newer = (puts[b"sr"] for puts in outbox.puts)
    assert first_record(CHAIN).encode() in older
    assert first_record(CHAIN).encode() not in newer


class Noting(Replica):
    """Remembers its events."""

    def __init__(self, voted_view=0):
        self.events = []
        self.state = SimpleNamespace(me=0, view=1, voted_view=voted_view, timeout_view=0, proposed_view=0)

    def step(self, event, now):
        self.events.append(event)
        return []


def listening(replica):
    stand_ins: dict[str, Any] = {"replica": replica, "outbox": Outbox(), "store": None, "listener": None}
    driver = ConsensusDriver(chain=CHAIN, **stand_ins, metrics=Metrics("test"), failpoints=Failpoints())
    driver.listen()
    return driver


async def test_a_replica_that_listens_starts_first_and_then_hears_what_is_ours():
    replica = Noting(voted_view=1)
    driver = listening(replica)
    held = BatchHeld(PEER, Seq(1), Digest(Hash(bytes(32))), Milliseconds(1))
    driver.handle(held)
    driver.handle(PeerConnected(PEER))
    driver.handle(CertificateReceived(PEER, FORGE.certify(FORGE.chain_of(1)[0])))
    assert replica.events == []
    driver.start()
    assert replica.events == [Started(), held, PeerConnected(PEER)]
    driver.handle(TimerFired(Timer.VIEW))
    assert len(replica.events) == 4


async def test_a_vote_of_ours_that_the_record_does_not_know_ends_a_replica_that_listens():
    replica = Noting()
    driver = listening(replica)
    with pytest.raises(KeyUsedElsewhere):
        driver.handle(CertificateReceived(PEER, FORGE.certify(FORGE.chain_of(1)[0])))
    assert replica.events == []
