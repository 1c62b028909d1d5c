"""`sequencer derive` against an L1 and a node on loopback, built from the signatures of a committee."""

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import trio

from consensus.vocabulary.l1_batch import DataKind
from sequencer.cli.main import main
from sequencer.keys.genesis_file import render_genesis
from sequencer.l1.shapes import to_hex
from sequencer.rpc.options import RpcOptions
from sequencer.telemetry.metrics import Metrics
from tests.chain_run import ChainRun
from tests.committed_chain import INBOX, CommittedChain, on_l1
from tests.committee import ATTEST_MS, FIRST, SECOND, Committee, Segment
from tests.integration.rpc.conftest import running
from tests.integration.rpc.fake_service import FakeService

HELD, CALLDATA = DataKind.HELD, DataKind.CALLDATA
BLOCKS = 4


@pytest.fixture(scope="module")
def committee():
    return on_l1(Committee())


@pytest.fixture
def chain(committee):
    run = ChainRun(committee)
    for place in range(BLOCKS):
        segments = [Segment(FIRST, (b"first %d" % place,)), Segment(SECOND, (b"second",), claimed_count=2 * place)]
        run.block((place + 1) * ATTEST_MS, {place % 4: [run.seal(place % 4, *segments[: 1 + place % 2])]})
    chain = CommittedChain(run)
    for last, kind in ((1, CALLDATA), (3, HELD), (4, CALLDATA)):
        chain.commit(last, kind)
    return chain


@contextmanager
def served(chain):
    """The chain's L1 by POST, and by GET a node that has its held payloads."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            result = chain.answer(request["method"], request["params"])
            self._send(200, json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode())

        def do_GET(self):
            data = chain.held.get(int(self.path.split("/")[3]))
            self._send(404 if data is None else 200, data or b"")

        def _send(self, status, body):
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def url(chain):
    with served(chain) as address:
        yield address


@pytest.fixture
def genesis(committee, tmp_path):
    path = tmp_path / "genesis.toml"
    path.write_text(render_genesis(committee.chain))
    return path


@pytest.fixture
def ask(genesis, url, tmp_path, capsys):
    """Runs the command; `changed` replaces options, None leaves one out."""

    def ask(*more, code=0, **changed):
        options = {"genesis": genesis, "l1": url, "inbox": to_hex(INBOX), "node": url, "home": tmp_path / "nobody"}
        named = [(f"--{name}", str(value)) for name, value in (options | changed).items() if value is not None]
        assert main(["derive", *(word for pair in named for word in pair), *map(str, more)]) == code
        return capsys.readouterr()

    return ask


def lines_of(text, namespace):
    return [line for line in text.splitlines() if json.loads(line)["namespace"] == namespace]


def test_everything_is_printed_and_progress_is_told(ask):
    shown = ask()
    blocks = [json.loads(line) for line in shown.out.splitlines()]
    assert [(block["namespace"], block["index"]) for block in blocks if block["namespace"] == FIRST] == [
        (FIRST, index) for index in range(BLOCKS)
    ]
    assert [block["tx_count"] for block in blocks if block["namespace"] == SECOND] == [0, 0]
    assert all(block["proved"] for block in blocks)
    assert "3 batches up to height 4, 6 namespace blocks; read up to L1 block 12 (finalized)" in shown.err


async def test_the_bytes_are_those_of_a_node(committee, chain, genesis, url, tmp_path, capsys):
    run = chain.run
    service = FakeService(committee)
    service.delivered = {FIRST: [run.delivered(index) for index in range(BLOCKS)]}
    service.proofs = [run.proof(height) for height in sorted(run.attestations)]
    follow = ["namespace", "follow", str(FIRST), "--genesis", str(genesis), "--count", str(BLOCKS), "--json", "--url"]
    async with running(service, RpcOptions(port=0), Metrics("test")) as server:
        assert await trio.to_thread.run_sync(main, [*follow, server.url]) == 0
    followed = capsys.readouterr().out
    output = tmp_path / "rebuilt"
    options = ["--genesis", genesis, "--l1", url, "--inbox", to_hex(INBOX), "--node", url, "--output", output]
    assert await trio.to_thread.run_sync(main, ["derive", *map(str, options)]) == 0
    assert (output / f"{FIRST}.jsonl").read_bytes() == followed.encode()
    assert sorted(path.name for path in output.iterdir()) == [f"{FIRST}.jsonl", f"{SECOND}.jsonl"]


def test_a_rollup_asks_for_its_own(ask, tmp_path):
    shown = ask("--namespace", SECOND)
    assert lines_of(shown.out, SECOND) == shown.out.splitlines()
    assert len(shown.out.splitlines()) == 2
    output = tmp_path / "own"
    assert ask("--namespace", hex(FIRST), "--latest", output=output).out == ""
    assert [path.name for path in output.iterdir()] == [f"{FIRST}.jsonl"]


def test_an_earlier_run_is_replaced_only_when_everything_was_read(ask, chain, tmp_path):
    output = tmp_path / "rebuilt"
    ask(output=output)
    before = (output / f"{FIRST}.jsonl").read_bytes()
    held = chain.held.pop(2)
    shown = ask(output=output, code=1)
    assert "held off the L1 and could not be fetched" in shown.err
    assert "HTTP 404" in shown.err
    assert (output / f"{FIRST}.jsonl").read_bytes() == before
    assert (output / f"{FIRST}.jsonl.part").read_bytes() == before[: before.index(b"\n") + 1]
    chain.held[2] = held
    ask(output=output)
    assert sorted(path.name for path in output.iterdir()) == [f"{FIRST}.jsonl", f"{SECOND}.jsonl"]
    assert (output / f"{FIRST}.jsonl").read_bytes() == before


def test_a_node_that_lies_is_passed_over(ask, chain, url):
    with served(CommittedChain(chain.run, chain.batches, {2: b"another payload"})) as other:
        assert ask(node=other, code=1).err.count("certified hash") == 1
        assert len(ask("--node", url, node=other).out.splitlines()) == 6


def test_an_l1_that_has_something_unsigned_is_refused(ask, chain):
    chain.batches[1:] = []
    chain.commit(3, CALLDATA, previous=b"\x00" * 32)
    shown = ask(code=1)
    assert "batch 2: it does not follow the batch before" in shown.err
    assert "Traceback" not in shown.err


def test_what_a_quorum_signed_wrongly_is_told_and_the_rest_is_rebuilt(ask, chain):
    chain.batches[1:] = []
    chain.commit(3, CALLDATA, b"noise")
    chain.commit(4, CALLDATA)
    shown = ask(code=1)
    assert "batch 2: payload: malformed" in shown.err
    assert "batch 3: root:" in shown.err
    assert len(lines_of(shown.out, FIRST)) == 2


def test_what_is_not_finalized_is_left_out_unless_it_is_asked_for(ask, chain):
    chain.unfinalized = 4
    assert "2 batches up to height 3, 4 namespace blocks; read up to L1 block 8 (finalized)" in ask().err
    assert "3 batches up to height 4, 6 namespace blocks; read up to L1 block 12 (latest)" in ask("--latest").err
    chain.unfinalized = 11
    assert "no finalized block from 2 on yet; --latest" in ask(code=1).err


def test_a_beginning_behind_the_first_batch_is_told(ask):
    assert "batch 1 should come now" in ask("--from-block", 4, code=1).err
    assert "no finalized block from 99 on yet; --latest" in ask("--from-block", 99, code=1).err


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"inbox": "0x12"}, "40 hex digits"),
        ({"inbox": None}, "--inbox missing"),
        ({"l1": None, "inbox": None}, "--l1 and --inbox missing"),
        ({"genesis": None}, "--genesis missing"),
        ({"l1": "ws://127.0.0.1"}, "http://"),
        ({"node": "127.0.0.1:1"}, "--node 127.0.0.1:1"),
        ({"namespace": "7"}, "no such rollup"),
        ({"namespace": "x"}, "no namespace id"),
    ],
)
def test_a_command_line_that_cannot_be_meant_is_refused(ask, changed, word):
    assert word in ask(code=2, **changed).err


def test_another_chains_inbox_is_refused(ask, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text(render_genesis(on_l1(Committee(namespaces=(FIRST,))).chain))
    assert "not this chain's Inbox" in ask(genesis=other, code=2).err


def test_an_l1_that_is_away_is_told(ask):
    assert "Traceback" not in ask(l1="http://127.0.0.1:1", code=1).err


def test_a_home_says_what_the_command_line_does_not(ask, committee, chain, url, tmp_path):
    home = tmp_path / "home"
    port = int(url.rpartition(":")[2])
    (home / "config").mkdir(parents=True)
    text = f'[rpc]\nport = {port}\n[l1]\nurl = "{url}"\ninbox = "{to_hex(INBOX)}"\n'
    (home / "config" / "config.toml").write_text(text)
    (home / "config" / "genesis.toml").write_text(render_genesis(committee.chain))
    shown = ask(home=home, genesis=None, l1=None, inbox=None, node=None)
    assert len(shown.out.splitlines()) == 6
