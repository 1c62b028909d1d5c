"""A validator that dies again and again beside two others and a watcher: the judgement of all its lives."""

import signal

import trio

from tests.e2e.chain_audit import audit, settle
from tests.e2e.load import Ledger, Load
from tests.e2e.network import note
from tests.e2e.watching_validator import WatchingValidator

# The watcher is leader of every fourth view and proposes nothing: short views, or the test waits most of its time.
SETTINGS = {"consensus.view_timeout_ms": 600, "consensus.idle_interval_ms": 50}
SILENT = 3
DIES = "dies here: "


async def run_lives(network, victim_index, deaths, *, items=3):
    """Dies once at each of `deaths`, failpoints, in one home, then lives on; returns what each said where it died."""
    nodes = network.nodes[:SILENT]
    victim = nodes[victim_index]
    ledger = Ledger(network.chain)
    places = []
    async with trio.open_nursery() as nursery:
        watcher = WatchingValidator(network, SILENT)
        await nursery.start(watcher.run)
        load = Load(ledger, nursery)
        for node in nodes:
            load.add(node, 1001 + node.index % 2, items=items, pause_s=0.05)
            if node is not victim:
                node.start()
        for death in deaths:
            victim.start("--failpoint", death)
            assert await victim.until_ended() == -signal.SIGKILL, death
            places += [line for line in victim.said().splitlines() if DIES in line]
            note(f"{death}: {places[-1:]}, {ledger.promised_by(victim.index)} receipts")
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
    return [place.partition(DIES)[2] for place in places]
