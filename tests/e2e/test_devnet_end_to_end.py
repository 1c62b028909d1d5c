"""`sequencer devnet` with real validators, and the commands that talk to it."""

import os
import signal
import socket

import pytest

from tests.e2e.commands import Devnet, ask, is_alive, processes_of, run_command
from tests.e2e.network import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

HELLO = "0x" + b"hello".hex()


@pytest.fixture
def start(tmp_path):
    started = []

    def run(*arguments, home=tmp_path / "net"):
        started.append(Devnet(home, "--base-port", "0", "--l1", "none", *arguments))
        return started[-1]

    yield run
    for devnet in started:
        devnet.end()


def pids(description):
    return [validator["pid"] for validator in description["validators"]]


async def test_a_developer_s_first_quarter_of_an_hour(start):
    devnet = start()
    description = await devnet.description()
    assert [entry["index"] for entry in description["validators"]] == [0, 1, 2, 3]
    assert description["namespaces"] == [{"id": 1001, "name": "alpha"}, {"id": 1002, "name": "beta"}]
    assert all(is_alive(pid) for pid in pids(description))
    homes = [entry["home"] for entry in description["validators"]]
    urls = [entry["rpc"] for entry in description["validators"]]
    for text in (*urls, "seq_sendTransaction", "namespace 1001   alpha", "sequencer namespace follow 1001"):
        assert text in devnet.said()

    sent = await ask("tx", "send", "1001", "--text", "hello", "--home", homes[0])
    tx_hash = sent["hash"]
    assert sent["receipt"]["lane"] == 0
    final = await ask("tx", "wait", tx_hash, "--status", "final", "--timeout-ms", "60000", "--home", homes[0])
    assert final["status"] in {"final", "attested"}
    attested = await ask("tx", "wait", tx_hash, "--status", "attested", "--timeout-ms", "60000", "--url", urls[2])
    assert (attested["namespace"], attested["namespace_index"], attested["position"]) == (1001, 0, 0)
    status = await ask("tx", "status", tx_hash, "--home", homes[3])
    assert status["height"] == attested["height"]
    other = await run_command(
        "tx", "send", "1001", HELLO + "21", "--home", homes[1], "--wait", "attested", "--timeout-ms", "60000"
    )
    assert "attested" in other

    followed = await run_command("namespace", "follow", "1001", "--count", "1", "--transactions", "--home", homes[2])
    assert HELLO in followed
    by_id = ("--chain-id", description["chain_id"], "--url", urls[3])
    assert HELLO in await run_command("namespace", "follow", "1001", "--count", "1", "--transactions", *by_id)
    wrong = ("--chain-id", "0x" + "00" * 32, "--url", urls[3])
    await run_command("namespace", "follow", "1001", "--count", "1", *wrong, code=1)

    for home in homes[1:3]:
        assert (await ask("status", "--home", home))["missing_batches"] == 0
        peers = await ask("peers", "list", "--home", home)
        assert len(peers) == 3
        assert all(peer["connected"] for peer in peers)
    assert len(await ask("validators", "list", "--home", homes[0])) == 4
    namespaces = await ask("namespace", "list", "--home", homes[1])
    assert [entry["index"] is not None for entry in namespaces] == [True, False]
    assert "yes" in await run_command("peers", "list", "--home", homes[0])
    assert "ready" in await run_command("status", "--home", homes[0])

    second = start()
    assert await second.until_ended() == 2
    assert f"process {devnet.process.pid}" in second.said()

    assert await devnet.stop(signal.SIGINT) == 0
    assert not any(is_alive(pid) for pid in pids(description))
    assert processes_of(devnet.home) == []
    assert not (devnet.home / "devnet.json").exists()
    await run_command("status", "--home", homes[0], code=1)

    again = start()
    after = await again.description()
    assert "carrying on" in again.said()
    assert after["chain_id"] == description["chain_id"]
    kept = await ask("tx", "status", tx_hash, "--home", after["validators"][1]["home"])
    assert {key: kept[key] for key in ("height", "namespace_index", "position")} == {
        key: attested[key] for key in ("height", "namespace_index", "position")
    }
    await run_command("tx", "send", "1002", "--text", "still here", "--wait", "final", "--home", homes[3])
    assert await again.stop(signal.SIGTERM) == 0
    assert processes_of(devnet.home) == []


async def test_a_killed_devnet_leaves_no_orphan_and_the_next_carries_on(start):
    first = start("--validators", "2")
    description = await first.description()
    first.process.kill()
    await until(lambda: not any(is_alive(pid) for pid in pids(description)), "the validators have died with it")
    assert processes_of(first.home) == []
    second = start()
    after = await second.description()
    assert after["chain_id"] == description["chain_id"]
    assert not set(pids(after)) & set(pids(description))
    os.kill(pids(after)[1], signal.SIGKILL)
    await until(lambda: "validator-1 was killed by signal 9" in second.said(), "the report of a death")
    assert await second.stop() == 0


@pytest.mark.slow
async def test_other_servers_on_the_usual_ports_do_no_harm(start):
    """Two networks beside each other, and something on port 9000, as when tests run beside a devnet."""
    with socket.socket() as busy:
        busy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            busy.bind(("127.0.0.1", 9000))
            busy.listen()
        except OSError:
            pass  # somebody's devnet is there: just as well
        first = start("--validators", "1")
        second = start("--validators", "1", home=first.home.with_name("other"))
        one, other = await first.description(), await second.description()
        assert one["chain_id"] != other["chain_id"]
        for description in (one, other):
            home = description["validators"][0]["home"]
            await run_command("tx", "send", "1001", "--text", "x", "--wait", "attested", "--home", home)
        assert await first.stop() == 0
        assert await second.stop() == 0
