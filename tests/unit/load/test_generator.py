"""The generator against nodes of a few lines, on virtual time."""

import json
from collections import Counter
from random import Random

import pytest
import trio

from consensus.numbers import Digest, Epoch, Hash, Milliseconds, NamespaceId, Seq, ValidatorIndex
from consensus.vocabulary.batch import Items
from consensus.vocabulary.receipt import Receipt, ReceiptItem
from sequencer.client.submission import encode_outcome, refused_item
from sequencer.load.errors import Unanswered
from sequencer.load.generator import Generator
from sequencer.load.http import Answer
from sequencer.load.plan import LoadPlan

BINARY = {"content-type": "application/octet-stream"}
A, B = "http://a:1", "http://b:1"


class FakeNode:
    """Takes everything after `takes_s`; knows every transaction as final after `final_s` more."""

    def __init__(self, takes_s=0.01, final_s=0.1, refuses=None, unanswered=None, status="final"):
        self.takes_s, self.final_s, self.refuses, self.unanswered = takes_s, final_s, refuses, unanswered
        self.status = status
        self.asked: Counter[str] = Counter()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None

    async def ask(self, _method, path, _headers, body, *, timeout_s=60.0):
        self.asked[path.split("/")[1]] += 1
        if self.unanswered:
            raise Unanswered(self.unanswered, "away")
        if path == "/":
            await trio.sleep(self.final_s)
            return Answer(200, {}, json.dumps({"result": {"status": self.status}}).encode())
        await trio.sleep(self.takes_s)
        items = Items.parse(body, 4_096)
        assert items is not None
        if self.refuses:
            refused = [refused_item(number, self.refuses, 100) for number in range(len(items))]
            return Answer(429, BINARY, encode_outcome([], refused))
        signed = tuple(ReceiptItem(NamespaceId(1), 0, Hash(bytes(32)), place) for place in range(len(items)))
        place = (Epoch(0), ValidatorIndex(0), Seq(1), Digest(bytes(32)), Milliseconds(0))
        return Answer(200, BINARY, encode_outcome([Receipt(Hash(bytes(32)), *place, signed, bytes(65))], []))


async def run(nodes, **options):
    plan = LoadPlan(list(nodes), (1, 2), **{"seconds": 10.0, "rate": 100.0, "items": 10, "size": 32, **options})
    generator = Generator(plan, Random(1))
    generator._nodes = nodes
    with trio.fail_after(10_000):
        return await generator.run()


@pytest.fixture
def clock(autojump_clock):
    return autojump_clock


async def test_an_open_loop_sends_what_is_due(clock):
    record = await run({A: FakeNode(), B: FakeNode()}, warm_up_s=2.0)
    assert record.total["due"] == record.total["received"] == record.total["final"] == 1_000
    assert record.counted["due"] == 800
    assert record.rungs["final"].count == 80
    assert 200 <= record.percentiles_ms()["final"]["p50"] <= 215


async def test_a_slow_node_makes_latencies_longer_and_stops_nothing(clock):
    record = await run({A: FakeNode(takes_s=5.0)}, seconds=10.0)
    assert record.total["received"] == 1_000
    assert record.percentiles_ms()["received"]["p50"] >= 5_000


async def test_what_cannot_be_sent_is_counted_and_never_sent_late(clock):
    record = await run({A: FakeNode(takes_s=1_000.0)}, requests_max=5)
    assert record.total["unsent"] == 950
    assert record.total["sent"] == 50


async def test_followers_are_bounded(clock):
    record = await run({A: FakeNode(final_s=20.0)}, followers_max=7, wait_s=100.0)
    assert record.total["unfollowed"] == 930
    assert record.total["final"] == 70


async def test_refusals_are_counted_by_reason(clock):
    record = await run({A: FakeNode(refuses="full")})
    assert dict(record.refused) == {"full": 1_000}
    assert record.total["received"] == 0


async def test_another_node_takes_what_one_that_is_away_does_not(clock):
    away = FakeNode(unanswered="refused")
    record = await run({A: away, B: FakeNode()})
    assert record.total["received"] == record.total["final"] == 1_000
    assert record.total["moved"] == 500
    assert away.asked["v1"] <= 20  # it is left alone for a second each time


async def test_nobody_answers(clock):
    record = await run({A: FakeNode(unanswered="timeout")})
    assert record.total["failed"] == 1_000
    assert set(record.failed) == {"timeout"}


async def test_what_never_becomes_final_counts_with_the_time_that_was_waited(clock):
    record = await run({A: FakeNode(status="received")}, wait_s=30.0)
    assert record.total["unresolved"] == 1_000
    assert record.percentiles_ms()["ordered"]["p50"] >= 30_000


async def test_a_closed_loop_waits_for_its_answers(clock):
    record = await run({A: FakeNode(takes_s=1.0)}, rate=None, clients=3)
    assert 290 <= record.total["sent"] <= 330
    assert record.total["sent"] == record.total["final"]
