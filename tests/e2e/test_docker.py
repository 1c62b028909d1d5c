"""`docker-compose up` as in the README: from the repository to a transaction that is settled on the L1."""

import json
import os
from contextlib import ExitStack, aclosing

import pytest

from consensus.numbers import NamespaceId
from sequencer.client.status import Status
from tests.e2e.commands import run_command
from tests.e2e.containers import COMPOSE_FILE, PATIENCE_S, VALIDATORS, Containers, build_image

NAMESPACE = NamespaceId(1001)
EARLIER, LATER, OTHER_CHAIN = b"sent before the containers were removed", b"sent after", b"sent on a new chain"


@pytest.fixture(scope="module")
def image():
    build_image()


@pytest.fixture
def run_containers(image, tmp_path):
    with ExitStack() as made:

        def make(source, home):
            containers = Containers(tmp_path, source, home)
            made.callback(containers.end)
            return containers

        yield make


async def send(containers, service, data, status=Status.SETTLED):
    """Sends through one published port; returns the hash once every validator says that it is that sure."""
    async with await containers.client(service) as client:
        (item,) = (await client.send(NAMESPACE, data)).items
    for other in VALIDATORS:
        async with await containers.client(other) as client:
            await client.wait(item.hash, status, timeout_s=PATIENCE_S)
    return item.hash


async def follow(containers, service, count):
    """The transactions of the namespace's first blocks, each verified from the genesis."""
    found = []
    async with await containers.client(service) as client, aclosing(client.follow_namespace(NAMESPACE)) as blocks:
        async for block in blocks:
            assert block.proved
            found.extend(block.transactions)
            if len(found) >= count:
                return found
    raise AssertionError("following ends only when it is left")


async def derive(containers):
    """What the L1 alone tells of the namespace, as the command in a container prints it."""
    command = ("sequencer", "derive", f"--namespace={NAMESPACE}", "--home=network/validator-1")
    lines = (await containers.execute("validator-1", *command)).splitlines()
    return [bytes.fromhex(text[2:]) for line in lines for text in json.loads(line)["transactions"]]


async def check_secrets(containers):
    """The keys are in files that only their user reads, and in nothing else that Docker shows."""
    assert (await containers.execute("validator-0", "id", "--user")).strip() == "1000"
    keys = (await containers.execute("validator-0", "find", "network", "-name", "*.key")).split()
    assert len(keys) == 3 * len(VALIDATORS)
    assert await containers.execute("validator-0", "find", "network", "-path", "*/keys*", "-perm", "/077") == ""
    secrets = (await containers.execute("validator-0", "cat", *keys)).split()
    assert all(len(secret) == 64 for secret in secrets)
    shown = [await containers.compose("logs", "--no-color")]
    for service in VALIDATORS:
        shown.append(str(await containers.inspect(service)))
        shown.append(await containers.execute(service, "env"))
    assert not any(secret in text for secret in secrets for text in shown)


@pytest.mark.docker
@pytest.mark.e2e
@pytest.mark.timeout(3_600)
async def test_four_validators_in_containers(run_containers):
    containers = run_containers(COMPOSE_FILE, "network/validator-0")
    chain = await containers.up()
    first = await send(containers, "validator-1", EARLIER)
    assert await follow(containers, "validator-3", 1) == [EARLIER]
    await check_secrets(containers)

    await containers.compose("down")
    assert await containers.up() == chain
    await send(containers, "validator-2", LATER)
    assert await follow(containers, "validator-0", 2) == [EARLIER, LATER]
    assert await derive(containers) == [EARLIER, LATER]
    command = ("namespace", "follow", str(NAMESPACE), "--count=2", "--transactions")
    inside = await containers.execute("validator-3", "sequencer", *command, "--home=network/validator-3")
    genesis = ("--genesis", str(containers.genesis_file))
    assert await run_command(*command, *genesis, "--url", await containers.url("validator-1")) == inside
    assert inside.index(f"0x{EARLIER.hex()}") < inside.index(f"0x{LATER.hex()}")

    await containers.compose("down", "--volumes")
    assert (await containers.up()).chain_id != chain.chain_id
    async with await containers.client("validator-1") as client:
        assert (await client.status(first)).status is Status.UNKNOWN
    await send(containers, "validator-0", OTHER_CHAIN)
    assert await follow(containers, "validator-2", 1) == [OTHER_CHAIN]


@pytest.mark.docker
@pytest.mark.e2e
@pytest.mark.timeout(1_800)
async def test_homes_that_were_made_outside(run_containers, tmp_path):
    await run_command("testnet", "--output", str(tmp_path / "net"), "--preset", "devnet")
    containers = run_containers(tmp_path / "net" / COMPOSE_FILE.name, "home")
    await containers.up()
    await send(containers, "validator-1", EARLIER, Status.ATTESTED)
    assert await follow(containers, "validator-2", 1) == [EARLIER]
    assert (await containers.execute("validator-0", "id", "--user")).strip() == str(os.getuid())
    assert (await containers.execute("validator-0", "ls")).split() == ["home"]


def test_that_containers_are_left_out_is_seen():
    pytest.skip("docker: run `make e2e-docker`")
