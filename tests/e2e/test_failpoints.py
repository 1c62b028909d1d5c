"""A validator that dies at every named point, several times, never contradicts itself and keeps every promise."""

import signal

import pytest
import trio

from sequencer.node.failpoints import FAILPOINTS
from tests.e2e.chain_audit import audit, settle
from tests.e2e.load import Ledger, Load
from tests.e2e.network import note
from tests.e2e.watching_validator import WatchingValidator

pytestmark = pytest.mark.e2e

# The watcher is leader of every fourth view and proposes nothing: short views, or the test waits most of its time.
SETTINGS = {"consensus.view_timeout_ms": 600, "consensus.idle_interval_ms": 50}
SMALL_FILES = {"storage.segment_bytes": 1_048_576}  # so that segment files begin and end, too
SILENT = 3
NAMES = [name for name in FAILPOINTS if not name.startswith(("post_", "disk_"))]  # those need an L1; these have tests


async def run_lives(network, victim_index, deaths):
    """One network; the victim dies once at each of `deaths`, then lives on."""
    nodes = network.nodes[:SILENT]
    victim = nodes[victim_index]
    ledger = Ledger(network.chain)
    async with trio.open_nursery() as nursery:
        watcher = WatchingValidator(network, SILENT)
        await nursery.start(watcher.run)
        load = Load(ledger, nursery)
        for node in nodes:
            load.add(node, 1001 + node.index % 2, items=3, pause_s=0.05)
            if node is not victim:
                node.start()
        for death in deaths:
            victim.start("--failpoint", death)
            assert await victim.until_ended() == -signal.SIGKILL, death
            place = [line for line in victim.said().splitlines() if "dies here" in line]
            note(f"{death}: {place}, {ledger.promised_by(victim.index)} receipts")
        victim.start()
        await victim.until_ready()
        for node in nodes:
            await load.until_promised(30, by=node.index)
        await load.stop()
        await settle(nodes, ledger, "end")
        await audit(nodes, ledger)
        await network.stop()
        nursery.cancel_scope.cancel()
    watcher.check()
    assert watcher.links[victim.index] >= 2
    assert any(signer == victim.index for signer, _ in watcher.statements.timeouts)
    assert any(voter == victim.index for voter, _ in watcher.statements.votes)
    assert any(author == victim.index for author, _ in watcher.batches)
    assert any(validator == victim.index for validator, _ in watcher.attestations)


@pytest.mark.timeout(600)
async def test_a_validator_that_dies_at_six_points_in_turn(make_network):
    deaths = (
        "own_batch_after_append:3",
        "consensus_after_save:12",
        "consensus_after_send:7",
        "batch_after_append:2",
        "execution_before_save:4",
        "attestation_after_save",
    )
    await run_lives(make_network(settings=SETTINGS), 0, deaths)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("name", NAMES)
async def test_a_validator_that_dies_at_one_point_early_and_late(make_network, name):
    deaths = [f"{name}:{count}" for count in (1, 5, 20, 61)]
    await run_lives(make_network(settings=SETTINGS), FAILPOINTS.index(name) % SILENT, deaths)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
async def test_a_validator_that_dies_right_after_it_sent_something_again_and_again(make_network):
    """The most dangerous moment: others know what it signed, and all that it knows itself is on its disk."""
    deaths = [f"consensus_after_send:{count}" for count in (2, 3, 6, 8, 9, 11, 14, 17, 23, 26, 33, 38)]
    await run_lives(make_network(settings=SETTINGS), 1, deaths)


@pytest.mark.timeout(600)
async def test_a_validator_that_dies_at_some_moments_at_which_its_disk_changes(make_network):
    deaths = [f"disk_change:{number}" for number in (1, 9, 30, 53, 54, 57)]
    await run_lives(make_network(settings=SETTINGS | SMALL_FILES), 1, deaths)


@pytest.mark.slow
@pytest.mark.timeout(3_000)
@pytest.mark.parametrize("first", range(1, 241, 40))
async def test_a_validator_that_dies_at_every_moment_at_which_its_disk_changes(make_network, first):
    """From its start on, one after another on one home, under load; what is not synced is lost."""
    deaths = [f"disk_change:{number}" for number in range(first, first + 40)]
    await run_lives(make_network(settings=SETTINGS | SMALL_FILES), first % SILENT, deaths)
