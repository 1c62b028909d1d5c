"""A disk that fills up under load: the node stops with a clear message, and catches up once there is room."""

import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest
import trio

from sequencer.client.status import Status
from tests.e2e.chain_audit import audit, settle
from tests.e2e.load import Ledger, Load

pytestmark = pytest.mark.e2e

VOLUME_BYTES = 24 * 1024 * 1024


class SmallVolume:
    """A file system of its own for one node's data, with a file that takes most of the room."""

    def __init__(self, node):
        self.path = node.home / "data"
        self.path.mkdir(mode=0o700)
        options = f"size={VOLUME_BYTES},mode=700"
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.path], check=False)
        if mounted.returncode != 0:
            pytest.skip("mounting a file system is not allowed here")
        self.ballast = self.path / "ballast"

    def fill(self):
        free = shutil.disk_usage(self.path).free
        with self.ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, free - 256 * 1024))

    def make_room(self):
        self.ballast.unlink()

    def end(self):
        subprocess.run(["umount", "-l", self.path], check=True)


class FileSizeLimit:
    """No file of the node's process may grow further. For where nothing can be mounted."""

    def __init__(self, node):
        self.node = node

    def fill(self):
        # Its log counts as well: it is a pipe's business elsewhere, and a short file here.
        largest = max(path.stat().st_size for path in (self.node.home / "data" / "batches").glob("*.seg"))
        limit = max(largest, self.node.output.stat().st_size + 64 * 1024)
        resource.prlimit(self.node.process.pid, resource.RLIMIT_FSIZE, (limit, limit))

    def make_room(self):
        pass  # the limit ended with the process

    def end(self):
        pass


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", [SmallVolume, FileSizeLimit])
async def test_a_full_disk_stops_the_node_and_room_lets_it_catch_up(make_network, kind):
    network = make_network(settings={"storage.segment_bytes": 4 * 1024 * 1024})
    nodes = network.nodes
    victim = nodes[2]
    disk = kind(victim)
    try:
        network.start()
        await network.until_ready()
        ledger = Ledger(network.chain)
        async with trio.open_nursery() as nursery:
            load = Load(ledger, nursery)
            for node in nodes:
                load.add(node, 1001 + node.index % 2, items=30)
            await load.until_promised(200, by=victim.index)
            disk.fill()
            assert await victim.until_ended() == 1
            said = victim.said()
            assert "sequencer: stopped: disk full while" in said
            assert "Free space or raise the limit, then start again." in said
            assert "Traceback" not in said
            await load.until_promised(200, by=0)
            disk.make_room()
            victim.start()
            await victim.until_ready()
            await load.until_promised(100, by=victim.index)
            await load.stop()
        await settle(nodes, ledger, "end")
        await audit(nodes, ledger)
        await network.stop()
    finally:
        network.end()
        disk.end()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_log_that_nobody_can_write_stops_no_validator(make_network):
    network = make_network(1)
    (node,) = network.nodes
    node.output = Path("/dev/full")
    node.start()
    await node.until_ready()
    async with node.client() as client:
        outcome = await client.send_many(1001, [b"still here"])
        await client.wait(outcome.hashes[0], Status.ATTESTED, timeout_s=60)
    assert await node.stop() == 0
    node.output = network.directory / "readable.out"
