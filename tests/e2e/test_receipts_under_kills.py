"""A short leg of the campaign of receipts (`receipt_campaign.py`; `make receipts` runs the long one)."""

import dataclasses

import pytest

from consensus.numbers import ValidatorIndex
from tests.e2e.receipt_campaign import SETTINGS, Leg, draw_schedule, fetch_chain, read_headers
from tests.e2e.receipt_judge import judge

pytestmark = pytest.mark.e2e


@pytest.mark.timeout(600)
async def test_every_receipt_holds_while_authors_and_leaders_are_killed(make_network):
    network = make_network(settings=SETTINGS)
    leg = Leg(network, seed=3, receipts=1_000, turns=4)
    found = await leg.run()
    assert found["transactions"] >= 1_000
    assert found["kills"] >= 4
    assert found["just_before_kill"] > 0

    # The judge can say no: one receipt changed in every way that matters.
    network.start()
    await network.until_ready()
    served = await fetch_chain(network.nodes[0])
    await network.stop()
    _, receipt = leg.journal.receipts[0]
    headers = read_headers(network.nodes[0], {bytes(receipt.batch)})
    genesis = network.chain.encode()
    assert judge(genesis, [receipt.encode()], served, headers).broken == []
    for changed in (
        dataclasses.replace(receipt, lane=ValidatorIndex((receipt.lane + 1) % 4)),
        dataclasses.replace(receipt, signature=bytes(65)),
    ):
        assert judge(genesis, [changed.encode()], served, headers).broken
    assert judge(genesis, [receipt.encode()], served, {}).broken
    for answer in served.values():
        answer["blocks"][0]["sections"][0]["runs"][0]["seq"] += 1_000_000
    with pytest.raises(AssertionError, match="goes back"):
        judge(genesis, [receipt.encode()], served, headers)


def test_a_schedule_of_kills_follows_from_its_seed():
    first, again, other = (draw_schedule(seed) for seed in (7, 7, 8))
    drawn = [next(first) for _ in range(40)]
    assert drawn == [next(again) for _ in range(40)]
    assert drawn != [next(other) for _ in range(40)]
    assert {strike.kind for strike in drawn} == {"author", "leader", "both", "all"}
