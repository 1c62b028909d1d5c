"""A validator that dies at every named point, several times, never contradicts itself and keeps every promise."""

import pytest

from sequencer.node.failpoints import FAILPOINTS
from tests.e2e.lives import SETTINGS, SILENT, run_lives

pytestmark = pytest.mark.e2e

NAMES = [name for name in FAILPOINTS if not name.startswith("post_")]  # they need an L1


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
