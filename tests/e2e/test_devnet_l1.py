"""A devnet with its L1, as a developer meets it: posted, settled, rebuilt, restarted; an L1 that dies or is lost."""

import json
import os
import signal

import pytest

from tests.e2e.commands import Devnet, ask, is_alive, processes_of, run_command
from tests.e2e.network import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
QUICK = ("--validators", "2", "--set", "l1.seal_age_s=0", "--set", "l1.poll_s=0.2")


@pytest.fixture
def start(tmp_path):
    started = []

    def run(*arguments):
        started.append(Devnet(tmp_path / "net", "--base-port", "0", *QUICK, *arguments))
        return started[-1]

    yield run
    for devnet in started:
        devnet.end()


def home(devnet, index=0):
    return str(devnet.home / f"validator-{index}")


async def send(devnet, text, status):
    """Sends through one validator and waits at another."""
    sent = await ask("tx", "send", "1001", "--text", text, "--home", home(devnet))
    wait = ("--status", status, "--timeout-ms", "60000", "--home", home(devnet, 1))
    return await ask("tx", "wait", sent["hash"], *wait)


async def derived(devnet):
    """The transactions of namespace 1001, from the L1 alone."""
    lines = (await run_command("derive", "--home", home(devnet), "--namespace", "1001")).splitlines()
    return [transaction for line in lines for transaction in json.loads(line)["transactions"]]


async def batches(devnet):
    return await ask("batch", "list", "--home", home(devnet, 1))


async def test_posted_settled_rebuilt_and_carried_on(start):
    first = start()
    description = await first.description()
    posted = await send(first, "one", "posted")
    assert posted["status"] in {"posted", "settled"}
    await send(first, "two", "settled")
    known = await batches(first)
    assert [batch["index"] for batch in known] == list(range(1, len(known) + 1))
    expected = ["0x" + text.encode().hex() for text in ("one", "two")]
    assert await derived(first) == expected
    check = await ask("l1", "check", "--home", home(first, 1))
    assert check["inbox"] == description["contracts"]["inbox"]
    assert check["next_index"] > len(known)
    assert await first.stop(signal.SIGINT) == 0
    assert processes_of(first.home) == []
    assert not is_alive(description["l1"]["pid"])

    second = start()
    again = await second.description()
    assert again["contracts"] == description["contracts"]
    await send(second, "three", "settled")
    assert (await batches(second))[: len(known)] == known

    os.kill(again["l1"]["pid"], signal.SIGKILL)
    await until(lambda: "the L1 was killed by signal 9" in second.said(), "the L1's death is reported")
    assert (await send(second, "four", "attested"))["status"] == "attested"
    assert await second.stop() == 0

    third = start()
    await third.description()
    await send(third, "five", "settled")
    expected += ["0x" + text.encode().hex() for text in ("three", "four", "five")]
    assert await derived(third) == expected
    assert await third.stop() == 0

    (third.home / "l1" / "state.json").unlink()
    lost = start()
    assert await lost.until_ended() == 2
    assert "--reset" in lost.said()
    assert processes_of(third.home) == []
