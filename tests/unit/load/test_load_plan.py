from collections import Counter
from random import Random

import pytest

from consensus.vocabulary.batch import Items
from sequencer.load.errors import PlanFault
from sequencer.load.plan import BODY_BYTES_MAX, ITEMS_MAX, LoadPlan, Payloads, body_bytes, items_that_fit

URLS = ("http://a:1", "http://b:1", "http://c:1", "http://d:1")


@pytest.mark.parametrize(
    "change",
    [
        {"urls": ()},
        {"namespaces": ()},
        {"warm_up_s": 10.0},
        {"rate": 0.0},
        {"clients": 0},
        {"items": 0},
        {"items": ITEMS_MAX + 1},
        {"size": 0},
        {"items": 4_096, "size": 1_024},
    ],
)
def test_a_load_that_cannot_be_is_refused(change):
    LoadPlan(urls=URLS, namespaces=(1,), seconds=10.0).check()
    with pytest.raises(PlanFault):
        LoadPlan(**{"urls": URLS, "namespaces": (1,), "seconds": 10.0, **change}).check()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 1_000])
def test_every_node_gets_every_namespace_equally_often(count):
    plan = LoadPlan(URLS, range(count), 1.0)
    places = Counter(plan.place(number) for number in range(len(URLS) * count))
    assert set(places.values()) == {1}
    assert len(places) == len(URLS) * count


@pytest.mark.parametrize(("size", "items"), [(128, 4_096), (512, 4_096), (65_536, 63), (1, 4_096)])
def test_requests_stay_below_what_nodes_take(size, items):
    assert items_that_fit(ITEMS_MAX, size) == items
    assert body_bytes(items, size) <= BODY_BYTES_MAX


@pytest.mark.parametrize("size", [1, 15, 16, 512, 65_536, 100_000])
def test_a_body_parses_into_different_transactions(size):
    payloads, others = Payloads(Random(1)), Payloads(Random(2))
    seen = []
    for source in (payloads, payloads, others):
        body, first, last = source.body(3, size)
        items = Items.parse(body, 10)
        assert items is not None
        bodies = list(items)
        assert (bodies[0], bodies[-1]) == (first, last)
        assert {len(item) for item in bodies} == {size}
        seen += bodies
    assert size < 16 or len(set(map(bytes, seen))) == 9
