"""The examples of `docs/build/client.md` and `subscriptions.md` run as they stand, but for the address."""

import json
import re
from functools import partial
from pathlib import Path

import pytest
import trio

from consensus.numbers import NamespaceIndex
from consensus.vocabulary.batch import KIND_OPEN, transaction_id
from sequencer.client.status import Status, TransactionStatus
from tests.chain_run import ChainRun
from tests.committee import ATTEST_MS, FIRST
from tests.integration.rpc.test_client import deliver

BUILD = Path(__file__).resolve().parents[3] / "docs" / "build"
GUIDE = (BUILD / "client.md").read_text()
SUBSCRIPTIONS = (BUILD / "subscriptions.md").read_text()
DEVNET_URL = "http://127.0.0.1:9002"


def examples(language: str, page: str = GUIDE) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


@pytest.fixture
def run_example(server, tmp_path, monkeypatch):
    """Runs a Python example in an event loop of its own, in a thread, against the server."""
    monkeypatch.chdir(tmp_path)

    async def run(source: str) -> None:
        code = compile(source.replace(DEVNET_URL, server.url), "client.md", "exec")
        await trio.to_thread.run_sync(partial(exec, code, {"__name__": "example"}))

    return run


async def test_sending_and_waiting(run_example, service, capsys):
    hello = transaction_id(FIRST, KIND_OPEN, b"hello")

    async def wait(hash, status, timeout_ms, place):
        assert (hash, status) == (hello, Status.FINAL)
        return TransactionStatus(hash, Status.FINAL, namespace_index=NamespaceIndex(7), position=2)

    service.wait = wait
    await run_example(examples("python")[0])
    assert capsys.readouterr().out == (
        "received: lane 0, batch 1, index 0\nfinal: block 7, position 2\ntransaction 2 refused: known\n"
    )


async def test_following(run_example, service, server, committee, tmp_path, capsys):
    run = ChainRun(committee)
    run.block(ATTEST_MS, run.data(0, b"one", b"two"))
    deliver(service, run)
    (tmp_path / ".devnet").mkdir()
    known = {"genesis_hash": "0x" + committee.chain.chain_id.hex(), "validators": [{"rpc": server.url}]}
    (tmp_path / ".devnet" / "devnet.json").write_text(json.dumps(known))
    source = examples("python")[1]
    printing = next(line for line in source.splitlines() if "print(" in line)
    indent = printing[: len(printing) - len(printing.lstrip())]
    await run_example(source.replace(printing, f"{printing}\n{indent}break"))
    assert re.fullmatch(r"block 0 at \d+ ms: 2 transactions\n", capsys.readouterr().out)


async def test_the_bodies_that_curl_sends(http, service):
    bodies = [json.loads(body) for body in re.findall(r"-d '\n?(.*?)'$", GUIDE, re.DOTALL | re.MULTILINE)]
    assert len(bodies) == 3
    for body in bodies:
        text = json.dumps(body).replace("0x\\u2026", "0x" + "00" * 32).replace("10000", "1")
        answer = (await http.post("/", content=text, headers={"content-type": "application/json"})).json()
        assert all("result" in one for one in (answer if isinstance(answer, list) else [answer]))
    assert service.submitted == [(FIRST, b"hello")]


async def test_subscribing(run_example, service, capsys):
    async def climb(hash, status, timeout_ms, place):
        service.statuses[hash] = TransactionStatus(hash, status)
        return service.statuses[hash]

    service.wait = climb
    (example,) = examples("python", SUBSCRIPTIONS)
    await run_example(example)
    rungs = ("received", "ordered", "final", "attested")
    assert capsys.readouterr().out == "".join(f"the transaction is {rung}\n" for rung in rungs)


async def test_the_first_request_of_the_subscriptions_page(server, service, committee):
    from tests.integration.rpc.web_sockets import subscriber

    run = ChainRun(committee)
    run.block(ATTEST_MS, run.data(0, b"one"))
    deliver(service, run)
    (request,) = re.findall(r"^\{.*\}$", examples("", SUBSCRIPTIONS)[0], re.MULTILINE)
    async with subscriber(server) as socket:
        await socket.socket.send_message(request)
        assert (await socket.receive())["result"] == "0x1"
        assert (await socket.item())["block"]["index"] == 0
