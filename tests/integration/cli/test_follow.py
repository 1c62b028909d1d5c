"""`sequencer namespace follow` against a real server: every block verified, and a forgery noticed."""

import json

import pytest
import trio

from sequencer.cli.main import main
from sequencer.keys.genesis_file import render_genesis
from sequencer.rpc.options import RpcOptions
from sequencer.telemetry.metrics import Metrics
from tests.chain_run import ChainRun
from tests.committee import ATTEST_MS, FIRST, Committee
from tests.integration.rpc.conftest import running
from tests.integration.rpc.fake_service import FakeService

BLOCKS = 3


@pytest.fixture(scope="module")
def committee():
    return Committee()


@pytest.fixture
def chain_run(committee):
    run = ChainRun(committee)
    for place in range(BLOCKS):
        run.block((place + 1) * ATTEST_MS, run.data(0, b"transaction %d" % place))
    return run


@pytest.fixture
async def url(committee, chain_run):
    service = FakeService(committee)
    service.delivered = {FIRST: [chain_run.delivered(index) for index in range(BLOCKS)]}
    service.proofs = [chain_run.proof(height) for height in sorted(chain_run.attestations)]
    async with running(service, RpcOptions(port=0), Metrics("test")) as server:
        yield server.url


async def follow(*arguments):
    """The command runs an event loop of its own, hence a thread."""
    return await trio.to_thread.run_sync(main, ["namespace", "follow", str(FIRST), *map(str, arguments)])


async def test_blocks_are_proved_with_a_genesis(url, committee, tmp_path, capsys):
    genesis = tmp_path / "genesis.toml"
    genesis.write_text(render_genesis(committee.chain))
    assert await follow("--url", url, "--genesis", genesis, "--count", BLOCKS, "--json") == 0
    shown = capsys.readouterr()
    blocks = [json.loads(line) for line in shown.out.splitlines()]
    assert [block["index"] for block in blocks] == list(range(BLOCKS))
    assert all(block["proved"] for block in blocks)
    assert [block["prev_hash"] for block in blocks[1:]] == [block["hash"] for block in blocks[:-1]]
    assert [bytes.fromhex(item[2:]) for block in blocks for item in block["transactions"]] == [
        b"transaction %d" % place for place in range(BLOCKS)
    ]
    assert shown.err == ""


async def test_a_chain_id_is_enough(url, committee, capsys):
    chain_id = committee.chain.chain_id.hex()
    assert await follow("--url", url, "--chain-id", chain_id, "--from", 1, "--count", 1, "--transactions") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("block 1  ")
    assert first.endswith("  proved")
    assert second == f"  0x{b'transaction 1'.hex()}"


async def test_without_a_chain_it_says_that_nothing_is_proved(url, capsys):
    assert await follow("--url", url, "--count", 1) == 0
    shown = capsys.readouterr()
    assert "not verified" in shown.err
    assert shown.out.rstrip().endswith("not proved")


async def test_another_chain_is_refused(url, capsys):
    assert await follow("--url", url, "--chain-id", "00" * 32) == 1
    assert "wrong_chain" in capsys.readouterr().err
