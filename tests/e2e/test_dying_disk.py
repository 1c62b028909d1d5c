"""A validator that dies at every operation of its disk, before it, in the middle, after it, and with the power cut.

What is checked of each: it starts again, contradicts nothing that it said, and orders every receipt at its place.
"""

import shutil
import signal
from collections import Counter

import pytest

from sequencer.node.dying_disk import WAYS
from tests.e2e.lives import SETTINGS, SILENT, run_lives
from tests.e2e.network import note

pytestmark = pytest.mark.e2e

SMALL_FILES = SETTINGS | {"storage.segment_bytes": 1_048_576}  # so that segment files begin and end, too
FIRST_OPERATIONS = 44  # of the first start of a home, until it has signed
OPERATIONS = 160
PART = 40


def death(number, way):
    return f"disk_operation:{number}:{way}"


@pytest.mark.timeout(600)
async def test_a_validator_that_dies_at_some_operations_of_its_disk(make_network):
    deaths = [death(number, WAYS[number % 4]) for number in (18, 39, 57, 76)]
    places = await run_lives(make_network(settings=SMALL_FILES), 1, deaths)
    assert len(places) == len(deaths)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("first", range(1, OPERATIONS, PART))
async def test_a_validator_that_dies_at_every_operation_of_its_disk(make_network, first, way):
    """From its start on, one after another on one home, under load."""
    deaths = [death(number, way) for number in range(first, first + PART)]
    places = await run_lives(make_network(settings=SMALL_FILES), first // PART % SILENT, deaths, items=100)
    assert [int(place.split()[0]) for place in places] == list(range(first, first + PART))
    note(f"{way}: {sorted(Counter(place.split(maxsplit=2)[2] for place in places).items())}")


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("way", WAYS)
async def test_a_validator_that_dies_at_every_operation_of_its_first_start(make_network, tmp_path, way):
    """Each time in a home that was never used."""
    network = make_network(1)
    (node,) = network.nodes
    shutil.copytree(node.home, tmp_path / "unused")
    for number in range(1, FIRST_OPERATIONS + 1):
        shutil.rmtree(node.home)
        shutil.copytree(tmp_path / "unused", node.home)
        node.start("--failpoint", death(number, way))
        assert await node.until_ended() == -signal.SIGKILL, number
        note(node.said().splitlines()[-1])
        node.start()
        await node.until_ready()
        node.kill()
