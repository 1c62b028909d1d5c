"""`sequencer derive` on a real L1: what the Inbox took is rebuilt, up to its finalized or its newest block."""

import json

import pytest

from consensus.numbers import NamespaceId
from consensus.vocabulary.l1_batch import DataKind
from sequencer.cli.main import main
from sequencer.keys.genesis_file import render_genesis
from sequencer.l1.shapes import to_hex
from tests.chain_run import ChainRun
from tests.committed_chain import CommittedChain
from tests.committee import FIRST, SECOND
from tests.integration.cli.test_derive import served

pytestmark = pytest.mark.e2e
BLOCKS_UNTIL_FINAL = 16


@pytest.fixture
def chain(desk):
    """A run of six blocks; the desk's Inbox takes three batches of them."""
    run = ChainRun(desk.committee)
    for place in range(6):
        namespace = (FIRST, SECOND)[place % 2]
        run.block(100 * (place + 1), run.data(place % 4, b"item %d" % place, bytes(40_000), namespace=namespace))
    chain = CommittedChain(run, inbox=desk.address)
    for last, kind in ((2, DataKind.CALLDATA), (4, DataKind.HELD), (6, DataKind.CALLDATA)):
        committed = chain.commit(last, kind)
        assert desk.commit(committed.certificate, committed.data).receipt.status == 1
    return chain


@pytest.fixture
def derive(desk, tmp_path, capsys):
    genesis = tmp_path / "genesis.toml"
    genesis.write_text(render_genesis(desk.chain))

    def derive(*more, code=0):
        options = ["--genesis", genesis, "--l1", desk.anvil.url, "--inbox", to_hex(desk.address), *more]
        assert main(["derive", *map(str, options)]) == code
        return capsys.readouterr()

    return derive


def hashes(text, namespace):
    blocks = [json.loads(line) for line in text.splitlines()]
    return [block["hash"] for block in blocks if block["namespace"] == namespace]


def executed(chain, namespace: NamespaceId, count: int | None = None):
    return [to_hex(one.hash) for one in chain.run.executed[namespace][:count]]


def test_what_the_contract_took_is_rebuilt(desk, chain, derive):
    with served(chain) as node:
        shown = derive("--node", node, "--latest")
        assert "3 batches up to height 6, 6 namespace blocks" in shown.err
        for namespace in (FIRST, SECOND):
            assert hashes(shown.out, namespace) == executed(chain, namespace)
        desk.anvil.mine(BLOCKS_UNTIL_FINAL)
        assert derive("--node", node).out == shown.out
    assert "held off the L1 and could not be fetched: no node was named" in derive("--latest", code=1).err


def test_what_is_not_final_yet_waits(desk, chain, derive):
    desk.anvil.mine(BLOCKS_UNTIL_FINAL)
    run = chain.run
    run.block(700, run.data(0, b"newest"))
    committed = chain.commit(7, DataKind.CALLDATA)
    assert desk.commit(committed.certificate, committed.data).receipt.status == 1
    with served(chain) as node:
        assert hashes(derive("--node", node).out, FIRST) == executed(chain, FIRST, 3)
        assert hashes(derive("--node", node, "--latest").out, FIRST) == executed(chain, FIRST)
