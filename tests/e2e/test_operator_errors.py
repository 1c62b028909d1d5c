"""What an operator gets wrong: each is one clear message, the right exit code, and no traceback.

2: something has to be mended before the node can start. 1: the node has stopped by itself, or its disk is damaged.
"""

import shutil
import socket

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

# The default suite runs one of each kind.
slow = pytest.mark.slow


@pytest.fixture
def network(make_network):
    return make_network(1)


async def refused(node, *arguments, code=2):
    """Starts a node that must end by itself; returns what it said besides its log."""
    node.start(*arguments)
    assert await node.until_ended() == code, node.said()
    assert "Traceback" not in node.said()
    lines = [line for line in node.said().splitlines() if not line.startswith("{")]
    assert lines, "it ended without a word"
    assert lines[0].startswith("sequencer: ")
    return "\n".join(lines)


async def run_once(node):
    """One life that has signed and stored something."""
    node.start()
    await node.until_ready()
    async with node.client() as client:
        await client.send_many(1001, [b"one", b"two"])
    assert await node.stop() == 0


@pytest.mark.parametrize("name", ["p2p", pytest.param("rpc", marks=slow), pytest.param("metrics", marks=slow)])
async def test_a_port_in_use(network, name):
    (node,) = network.nodes
    port = {"p2p": node.p2p_port, "rpc": node.rpc_port, "metrics": node.metrics_port}[name]
    with socket.create_server((node.host, port)):
        said = await refused(node)
    assert str(port) in said
    assert len(said.splitlines()) == 1
    node.start()
    await node.until_ready()


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("node.key", 0o640),
        pytest.param("node.key", 0o604, marks=slow),
        pytest.param("bls.key", 0o640, marks=slow),
        pytest.param("bls.key", 0o660, marks=slow),
    ],
)
async def test_a_key_that_others_can_read(network, name, mode):
    (node,) = network.nodes
    path = node.home / "keys" / name
    path.chmod(mode)
    said = await refused(node)
    assert f"chmod 600 {path}" in said


@slow
@pytest.mark.parametrize("name", ["node.key", "bls.key"])
async def test_a_key_that_is_missing_or_no_key(network, name):
    (node,) = network.nodes
    path = node.home / "keys" / name
    secret = path.read_text()
    path.write_text("not a key\n")
    said = await refused(node)
    assert str(path) in said
    assert "not a key" not in said
    path.unlink()
    assert f"{path} is missing" in await refused(node)
    assert secret.strip() not in said


@slow
async def test_another_validators_bls_key(make_network):
    network = make_network(2)
    first, second = network.nodes
    shutil.copy2(second.home / "keys" / "bls.key", first.home / "keys" / "bls.key")
    assert "BLS key is not the one in the genesis" in await refused(first)


async def test_keys_of_nobody_in_the_genesis(make_network):
    """A validator whose keys and data are both fresh is nobody."""
    network, other = make_network(1), make_network(1)
    (node,) = network.nodes
    shutil.rmtree(node.home / "keys")
    shutil.copytree(other.nodes[0].home / "keys", node.home / "keys")
    assert "is not a validator of this chain" in await refused(node)


async def test_another_chains_genesis_over_this_chains_data(network):
    (node,) = network.nodes
    await run_once(node)
    genesis = node.home / "config" / "genesis.toml"
    text = genesis.read_text()
    genesis.write_text(text.replace('"alpha"', '"gamma"'))
    said = await refused(node)
    assert "belongs to chain" in said
    assert f"0x{network.chain.chain_id.hex()}" in said
    genesis.write_text(text)
    node.start()
    await node.until_ready()


@slow
async def test_keys_that_were_used_on_another_chain(network):
    (node,) = network.nodes
    await run_once(node)
    genesis = node.home / "config" / "genesis.toml"
    genesis.write_text(genesis.read_text().replace('"alpha"', '"gamma"'))
    shutil.rmtree(node.home / "data")
    assert "keys are never shared between chains" in await refused(node)


@slow
async def test_a_genesis_that_cannot_be_used(network):
    (node,) = network.nodes
    genesis = node.home / "config" / "genesis.toml"
    text = genesis.read_text()
    genesis.write_text(text.replace("stake = 1", "stake = 0"))
    assert "genesis" in await refused(node)
    genesis.write_text(text[: len(text) // 2])
    assert "genesis" in await refused(node)
    genesis.unlink()
    assert str(genesis) in await refused(node)


async def test_keys_of_the_configuration_that_no_option_has(network):
    (node,) = network.nodes
    config = node.home / "config" / "config.toml"
    text = config.read_text()
    config.write_text(text.replace("\n[rpc]\n", "\n[rpc]\nprot = 1\n") + "\n[mempol]\nttl_s = 1\n")
    said = await refused(node)
    assert "rpc.prot (config.toml): no such option" in said
    assert "mempol (config.toml): no such option" in said, "all faults are reported at once"
    config.write_text(text.replace("\n[rpc]\n", "\n[rpc\n"))
    assert "config.toml" in await refused(node)
    config.unlink()
    assert "`sequencer init` makes one" in await refused(node)


@slow
async def test_options_on_the_command_line_that_do_not_exist(network):
    (node,) = network.nodes
    assert "rpc.prot (flag): no such option" in await refused(node, "--set", "rpc.prot=1")
    assert "rpc.port" in await refused(node, "--set", "rpc.port=70000")
    assert "there is no failpoint no_such_point" in await refused(node, "--failpoint", "no_such_point")
    assert "development_network" in await refused(
        node, "--set", "node.development_network=false", "--failpoint", "batch_before_append"
    )


async def test_a_home_in_use(network):
    (node,) = network.nodes
    node.start()
    await node.until_ready()
    (second,) = (type(node)(node.index, node.home, node.chain, node.host, (0, 0, 0)),)
    second.output = node.output.with_suffix(".second")
    said = await refused(second, "--set", "p2p.port=0", "--set", "rpc.port=0", "--set", "metrics.port=0")
    assert f"in use by process {node.process.pid}" in said
    assert node.is_running


async def test_a_used_key_without_its_safety_record(network):
    (node,) = network.nodes
    await run_once(node)
    data = node.home / "data"
    data.rename(node.home / "away")
    for _ in range(2):
        said = await refused(node)
        assert "has no safety record" in said
        assert "Never remove the mark" in said
    shutil.rmtree(data)
    (node.home / "away").rename(data)
    node.start()
    await node.until_ready()


@slow
async def test_a_damaged_mark_of_use(network):
    (node,) = network.nodes
    await run_once(node)
    mark = node.home / "keys" / "USED"
    mark.write_text("who knows\n")
    assert f"{mark} is unreadable" in await refused(node, code=1)


def damage(path, place=0.5, size=64):
    """Overwrites bytes in the middle of a file."""
    with path.open("r+b") as file:
        file.seek(int(path.stat().st_size * place))
        file.write(b"\xa5" * size)


@slow
async def test_a_damaged_database(network):
    (node,) = network.nodes
    await run_once(node)
    database = node.home / "data" / "database"
    whole = node.home / "whole"
    shutil.copytree(node.home / "data", whole)

    def restore():
        shutil.rmtree(node.home / "data")
        shutil.copytree(whole, node.home / "data")

    damage(max(database.glob("*.log"), key=lambda path: path.stat().st_size), place=0.3)
    assert str(database) in await refused(node, code=1)
    restore()
    (database / "CURRENT").unlink()
    assert "it is damaged" in await refused(node, code=1)
    restore()
    (database / "CURRENT").write_text("MANIFEST-999999\n")
    assert str(database) in await refused(node, code=1)
    restore()
    damage(next(database.glob("MANIFEST-*")), place=0.1, size=8)
    assert str(database) in await refused(node, code=1)
    restore()
    node.start()
    await node.until_ready()


@slow
async def test_damaged_batches(network):
    (node,) = network.nodes
    await run_once(node)
    segments = node.home / "data" / "batches"
    (segment,) = segments.glob("*.seg")
    whole = segment.read_bytes()
    damage(segment, size=4)
    said = await refused(node, code=1)
    assert f"damaged record in {segment} at byte" in said
    segment.write_bytes(whole)
    segment.rename(segment.with_suffix(".moved"))
    said = await refused(node, code=1)
    assert str(segment) in said
    assert "missing" in said
