"""A validator whose data or whole home was put back from an older copy stops with the remedy."""

import shutil

import pytest
import trio

from tests.e2e.chain_audit import audit, settle
from tests.e2e.faults import SETTINGS, final_heights, until_higher
from tests.e2e.load import Ledger, Load

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

VICTIM = 1


def put_back(node, copy, *names):
    """These directories of the home are again as they were."""
    for name in names:
        shutil.rmtree(node.home / name)
        shutil.copytree(copy / name, node.home / name)


async def live_on(network, others, ledger, *, sealing):
    """The victim's life after the copy: it votes and, if `sealing`, seals; then it is stopped, and the others go on."""
    victim = network.nodes[VICTIM]
    used = network.nodes if sealing else others
    victim.start()
    await network.until_ready()
    async with trio.open_nursery() as nursery:
        load = Load(ledger, nursery)
        for node in used:
            load.add(node, 1001 + node.index % 2, items=3, pause_s=0.05)
        for node in used:
            await load.until_promised(50, by=node.index)
        await load.stop()
    await settle(used, ledger, "copied")
    await until_higher(network.nodes, await final_heights(network.nodes))
    assert await victim.stop() == 0
    await until_higher(others, await final_heights(others))


@pytest.mark.parametrize(
    ("names", "sealing", "reason"),
    [
        (("data",), True, "the safety record in the data directory is number 1"),
        (("data", "keys"), True, "hold batches of this validator's lane"),
        (("data", "keys"), False, "that is signed with this validator's key"),
    ],
    ids=["data", "data and keys", "data and keys of one that only voted"],
)
async def test_an_older_copy_is_refused_with_the_remedy(make_network, tmp_path, names, sealing, reason):
    network = make_network(settings=SETTINGS)
    victim = network.nodes[VICTIM]
    others = [node for node in network.nodes if node is not victim]
    ledger = Ledger(network.chain)
    network.start()
    await network.until_ready()
    assert await victim.stop() == 0
    shutil.copytree(victim.home, tmp_path / "copy")
    await live_on(network, others, ledger, sealing=sealing)
    shutil.copytree(victim.home, tmp_path / "newest")

    put_back(victim, tmp_path / "copy", *names)
    victim.start()
    assert await victim.until_ended() == 2
    said = victim.said()
    assert reason in said
    assert "put back the data directory as it was" in said.lower()
    assert "register new keys" in said
    assert "Traceback" not in said
    await until_higher(others, await final_heights(others))

    if sealing:  # it was stopped before it signed anything: the remedy is enough
        put_back(victim, tmp_path / "newest", "data", "keys")
        victim.start()
        await network.until_ready()
        others.append(victim)
        for node in others:
            async with node.client() as client:
                assert not await client.evidence()
    await settle(others, ledger, "end")
    await audit(others, ledger)
    await network.stop()
