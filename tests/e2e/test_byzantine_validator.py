"""One real validator of four lies over real links: everything ends final and identical, and evidence names it alone."""

import json
import subprocess
import sys

import pytest
import trio

from consensus.evidence.check import check_proof
from consensus.evidence.proofs import decode_proof
from tests.e2e.chain_audit import audit, settle
from tests.e2e.load import Ledger, Load
from tests.e2e.network import COMMAND, environment, note, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

LIAR = 3
LYING = (sys.executable, "-m", "tests.e2e.byzantine_validator")


async def evidence_of(node):
    async with node.client() as client:
        return [found async for page in _pages(client) for found in page]


async def _pages(client):
    after = b""
    while page := await client.evidence(after):
        yield page
        after = page[-1].offence.encode()


async def test_an_equivocating_leader_and_voter_is_convicted_by_everybody_and_stops_nothing(make_network):
    network = make_network(settings={"consensus.view_timeout_ms": 600, "consensus.idle_interval_ms": 50})
    honest = network.nodes[:LIAR]
    network.nodes[LIAR].command = LYING
    ledger = Ledger(network.chain)
    async with trio.open_nursery() as nursery:
        network.start()
        await network.until_ready(honest)
        load = Load(ledger, nursery)
        for node in honest:
            load.add(node, 1001 + node.index % 2, items=3, pause_s=0.05)
            await load.until_promised(40, by=node.index)

        async def is_convicted():
            rules = [{found.offence.rule for found in await evidence_of(node)} for node in honest]
            return all({1, 2, 3} <= found for found in rules)

        await until(is_convicted, "every honest validator keeps E1, E2 and E3")
        await load.stop()
        await settle(honest, ledger, "end")
        await audit(honest, ledger)
        for node in honest:
            for found in await evidence_of(node):
                offence = check_proof(decode_proof(found.proof, 4), network.chain)
                assert offence == found.offence
                assert offence.validator == LIAR, offence
        _verify_by_command(network)
        await network.stop()
        nursery.cancel_scope.cancel()


def _verify_by_command(network):
    """As an operator would: what one validator lists is judged by another's genesis."""
    listed = subprocess.run(
        [*COMMAND, "evidence", "list", "--json", "--url", network.nodes[0].url],
        env=environment(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    command = [*COMMAND, "evidence", "verify", "-", "--json", "--home", str(network.nodes[1].home)]
    judged = subprocess.run(
        command, input=listed.stdout, env=environment(), capture_output=True, check=True, timeout=60
    )
    verdicts = json.loads(judged.stdout)
    note(f"{len(verdicts)} proofs: {sorted({entry['rule'] for entry in verdicts})}")
    assert {entry["validator"] for entry in verdicts} == {LIAR}
