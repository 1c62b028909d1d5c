"""An L1 whose process ends in any way is the same L1 afterwards (the figures are in docs/adr/0013)."""

import signal
from itertools import pairwise

import pytest
import trio

from sequencer.l1dev.anvil import find_anvil
from sequencer.l1dev.errors import L1DevError
from sequencer.l1dev.running import Anvil, AnvilOptions, start_kept
from sequencer.l1dev.state import StateDirectory
from tests.anvil import RICH_ADDRESS, ask, until

pytestmark = pytest.mark.e2e
# Logs its calldata and stores the block's number: calldatacopy, log1, sstore(0, number).
RUNTIME = bytes.fromhex("365f5f376001365fa1435f5500")
CREATION = bytes.fromhex(f"60{len(RUNTIME):02x}600c60003960{len(RUNTIME):02x}6000f3") + RUNTIME
SENDER = f"0x{RICH_ADDRESS.hex()}"


@pytest.fixture
def directory(tmp_path):
    return StateDirectory(tmp_path / "l1")


@pytest.fixture
def start(directory):
    made: list[Anvil] = []

    async def run():
        options = AnvilOptions(block_time_s=1, state=directory)
        made.append(await start_kept(find_anvil(), options, directory.directory / "anvil.log"))
        await made[-1].until_ready()
        return made[-1]

    yield run
    for anvil in made:
        anvil.kill()


async def mined(anvil, **transaction):
    sent = ask(anvil.url, "eth_sendTransaction", {"from": SENDER, "gas": "0x80000", **transaction})
    return await until(lambda: ask(anvil.url, "eth_getTransactionReceipt", sent))


def height(anvil):
    return int(ask(anvil.url, "eth_blockNumber"), 16)


def everything(anvil, last, contract):
    """All that anybody may remember of an L1 up to a block."""
    blocks = [ask(anvil.url, "eth_getBlockByNumber", hex(number), True) for number in range(last + 1)]
    transactions = [transaction["hash"] for block in blocks for transaction in block["transactions"]]
    query = {"fromBlock": "0x0", "toBlock": hex(last), "address": contract}
    return {
        "blocks": blocks,
        "receipts": [ask(anvil.url, "eth_getTransactionReceipt", name) for name in transactions],
        "logs": ask(anvil.url, "eth_getLogs", query),
        "nonce": ask(anvil.url, "eth_getTransactionCount", SENDER, "latest"),
        "balance": ask(anvil.url, "eth_getBalance", SENDER, "latest"),
        "slot": ask(anvil.url, "eth_getStorageAt", contract, "0x0", "latest"),
        "code": ask(anvil.url, "eth_getCode", contract, "latest"),
    }


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_it_is_the_same_l1_afterwards(start, directory, number):
    first = await start()
    contract = (await mined(first, data=f"0x{CREATION.hex()}"))["contractAddress"]
    for place in range(3):
        await mined(first, to=contract, data=f"0x{place:02x}")
    last = height(first)
    before = everything(first, last, contract)
    assert len(before["logs"]) == 3
    # The next save that is made the state holds all of this.
    directory.draft_file.unlink(missing_ok=True)
    await until(lambda: directory.promote() and height(first) > last)
    await until(lambda: height(first) > last + 1)
    first.process.send_signal(number)
    first.process.wait()

    second = await start()
    assert height(second) >= last
    assert everything(second, last, contract) == before
    assert (await mined(second, to=contract, data="0x07"))["status"] == "0x1"
    blocks = everything(second, height(second), contract)["blocks"]
    for parent, block in pairwise(blocks):
        assert block["parentHash"] == parent["hash"]
        assert int(block["timestamp"], 16) > int(parent["timestamp"], 16)


async def test_the_next_one_waits_until_the_first_has_ended(start, directory):
    first = await start()
    with pytest.raises(L1DevError, match="another anvil"):
        await directory.lock(deadline_s=0.2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, first.stop)
        second = await start()
    assert second.is_running


@pytest.mark.parametrize("draft", [b"", b'{"block": {', b'{"historical_states":null}\n'])
def test_half_a_save_is_never_the_state(directory, draft):
    directory.directory.mkdir()
    directory.state_file.write_bytes(b"the last whole one")
    directory.draft_file.write_bytes(draft)
    assert not directory.promote()
    directory.recover()
    assert directory.state_file.read_bytes() == b"the last whole one"
    assert not directory.draft_file.exists()
    directory.draft_file.write_bytes(b'{"block":{},"historical_states":null}')
    directory.recover()
    assert directory.state_file.read_bytes().startswith(b'{"block"')
