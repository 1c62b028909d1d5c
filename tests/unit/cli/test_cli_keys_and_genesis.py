"""`keys`, `genesis`, `init`, `testnet` and `config` on real files."""

import io
import json
import stat
import tomllib

import pytest

from consensus.namespace_terms import NamespaceTerms
from sequencer.cli.main import main
from sequencer.keys.genesis_file import load_genesis
from sequencer.keys.key_files import KeyKind, load_secret


@pytest.fixture(autouse=True)
def _no_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    for name in ("SEQUENCER_HOME", "SEQUENCER_URL"):
        monkeypatch.delenv(name, raising=False)


def run(capsys, *arguments, code=0):
    assert main([str(argument) for argument in arguments]) == code, capsys.readouterr().err
    return capsys.readouterr()


def secrets_of(home):
    return [load_secret(home / "keys", kind).hex() for kind in KeyKind]


def test_new_keys_are_shown_by_their_public_halves_only(tmp_path, capsys):
    shown = run(capsys, "keys", "new", "--home", tmp_path, "--json")
    public = json.loads(shown.out)
    assert public["peer_id"].startswith("16Uiu2HA")
    more = run(capsys, "keys", "show", "--home", tmp_path, "--json")
    assert json.loads(more.out) == public
    listed = json.loads(run(capsys, "keys", "list", "--home", tmp_path, "--json").out)
    assert [key["public_key"] for key in listed[:2]] == [public["node_public_key"], public["bls_public_key"]]
    assert listed[2]["kind"] == "poster"
    assert len(bytes.fromhex(listed[2]["public_key"][2:])) == 20
    everything = shown.out + shown.err + more.out + more.err + run(capsys, "keys", "list", "--home", tmp_path).out
    assert not any(secret in everything for secret in secrets_of(tmp_path))
    assert "never overwritten" in run(capsys, "keys", "new", "--home", tmp_path, code=2).err


def test_export_needs_a_confirmation_and_import_takes_it_back(tmp_path, capsys, monkeypatch):
    run(capsys, "keys", "new", "--home", tmp_path / "a")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    refused = run(capsys, "keys", "export", "node", "--home", tmp_path / "a", code=2)
    assert refused.out == ""
    exported = run(capsys, "keys", "export", "node", "--home", tmp_path / "a", "--yes").out
    monkeypatch.setattr("sys.stdin", io.StringIO(exported))
    imported = run(capsys, "keys", "import", "node", "--home", tmp_path / "b", "--json")
    assert exported.strip() not in imported.out + imported.err
    assert load_secret(tmp_path / "b" / "keys", KeyKind.NODE).hex() == exported.strip()
    monkeypatch.setattr("sys.stdin", io.StringIO("not a key"))
    assert "64 hex digits" in run(capsys, "keys", "import", "bls", "--home", tmp_path / "b", code=2).err


def test_an_exposed_key_is_exit_2_with_the_remedy(tmp_path, capsys):
    run(capsys, "keys", "new", "--home", tmp_path)
    (tmp_path / "keys" / "node.key").chmod(0o644)
    assert "chmod 600" in run(capsys, "keys", "show", "--home", tmp_path, code=2).err


def test_from_keys_to_a_home_that_is_ready(tmp_path, capsys):
    arguments = []
    for index in range(2):
        shown = run(capsys, "keys", "new", "--home", tmp_path / str(index), "--json")
        (tmp_path / f"{index}.json").write_text(shown.out)
        arguments += ["--validator", f"{tmp_path}/{index}.json={index + 1}"]
    genesis = tmp_path / "genesis.toml"
    made = run(capsys, "genesis", "new", "--name", "g", "--output", genesis, *arguments, "--namespace", "5:five")
    chain_id = made.out.strip()
    assert run(capsys, "genesis", "hash", genesis).out.strip() == chain_id
    summary = json.loads(run(capsys, "genesis", "check", genesis, "--json").out)
    assert (summary["chain_id"], summary["stake"], summary["namespaces"]) == (chain_id, 3, 1)
    assert "exists" in run(capsys, "genesis", "new", "--name", "g", "--output", genesis, *arguments, code=2).err

    home = tmp_path / "1"
    run(capsys, "init", "--home", home, "--genesis", genesis, "--set", "rpc.port=1234", "--preset", "lan")
    assert tomllib.loads((home / "config" / "config.toml").read_text())["rpc"] == {"port": 1234}
    assert "no address of validator 0" in run(capsys, "config", "check", "--home", home, code=2).err
    peers = '[{ index = 0, address = "example.org:9000" }]'
    assert "as validator 1" in run(capsys, "config", "check", "--home", home, "--set", f"p2p.peers={peers}").err
    assert "not overwritten" in run(capsys, "init", "--home", home, code=2).err


def test_terms_of_a_namespace(tmp_path, capsys):
    (tmp_path / "a.json").write_text(run(capsys, "keys", "new", "--home", tmp_path / "a", "--json").out)
    common = ["genesis", "new", "--name", "g", "--validator", tmp_path / "a.json"]
    common += ["--namespace", "5:five", "--namespace", "6:six", "--output", tmp_path / "g.toml"]
    wrong = ["--terms", "7:tx_per_s=1", "--terms", "5:tx_per_s=fast,colour=3", "--terms", "5", "--terms", "x:"]
    told = run(capsys, *common, *wrong, code=2).err
    for fault in (
        "7 is not the id",
        "tx_per_s is a whole number",
        "colour is none of",
        "nothing is none of",
        "x is not",
    ):
        assert fault in told
    told = run(capsys, *common, "--terms", "5:share_permille=600", "--terms", "6:share_permille=400", code=2).err
    assert "1000 together; at most 900" in told
    run(capsys, *common, "--terms", "5:tx_per_s=10,share_permille=600")
    five, six = load_genesis(tmp_path / "g.toml").namespaces
    assert (five.terms, six.terms) == (NamespaceTerms(tx_per_s=10, share_permille=600), NamespaceTerms())


def test_genesis_new_reports_what_is_wrong(tmp_path, capsys):
    shown = run(capsys, "keys", "new", "--home", tmp_path / "a", "--json")
    (tmp_path / "a.json").write_text(shown.out)
    common = ["genesis", "new", "--name", "g", "--output", tmp_path / "g.toml"]
    twice = run(capsys, *common, "--validator", tmp_path / "a.json", "--validator", tmp_path / "a.json", code=2)
    assert "two share one" in twice.err
    assert "cannot be read" in run(capsys, *common, "--validator", tmp_path / "b.json", code=2).err
    (tmp_path / "c.json").write_text("[]")
    assert "keys show" in run(capsys, *common, "--validator", tmp_path / "c.json", code=2).err
    assert "stake" in run(capsys, *common, "--validator", f"{tmp_path}/a.json=much", code=2).err
    assert not (tmp_path / "g.toml").exists()


def test_init_without_a_genesis_says_what_comes_next(tmp_path, capsys):
    assert "keys show" in run(capsys, "init", "--home", tmp_path / "h").err
    assert stat.S_IMODE((tmp_path / "h").stat().st_mode) == 0o700
    assert "no such option" in run(capsys, "init", "--home", tmp_path / "i", "--set", "rpc.prot=1", code=2).err


def test_testnet_makes_homes_that_are_ready(tmp_path, capsys):
    output = tmp_path / "net"
    made = json.loads(run(capsys, "testnet", "--validators", 3, "--output", output, "--json").out)
    for index, home in enumerate(made["homes"]):
        assert f"as validator {index}" in run(capsys, "config", "check", "--home", home).err
        assert run(capsys, "genesis", "hash", "--home", home).out.strip() == made["chain_id"]
    config = tomllib.loads((output / "validator-1" / "config" / "config.toml").read_text())
    assert [peer["address"] for peer in config["p2p"]["peers"]] == ["validator-0:9000", "validator-2:9000"]
    compose = (output / "docker-compose.yml").read_text()
    assert all(f"  validator-{index}:\n" in compose for index in range(3))

    assert "holds a network already" in run(capsys, "testnet", "--output", output, code=2).err
    again = json.loads(run(capsys, "testnet", "--output", output, "--if-absent", "--json").out)
    assert again == made


def test_testnet_takes_addresses(tmp_path, capsys):
    run(capsys, "testnet", "--validators", 2, "--output", tmp_path, "--address", "a.example", "--address", "[::1]:7")
    first, second = (
        tomllib.loads((tmp_path / f"validator-{index}" / "config" / "config.toml").read_text())["p2p"]
        for index in range(2)
    )
    assert (first["port"], first["peers"]) == (9000, [{"index": 1, "address": "[::1]:7"}])
    assert (second["port"], second["peers"]) == (7, [{"index": 0, "address": "a.example:9000"}])


def test_testnet_leaves_what_is_not_its_own_alone(tmp_path, capsys):
    (tmp_path / "letter.txt").write_text("dear")
    assert "letter.txt" in run(capsys, "testnet", "--output", tmp_path, code=2).err
    assert (tmp_path / "letter.txt").exists()


def test_an_interrupted_testnet_is_made_again(tmp_path, capsys):
    run(capsys, "testnet", "--output", tmp_path, "--validators", 2)
    (tmp_path / "network.json").unlink()
    (tmp_path / "docker-compose.yml").unlink()
    run(capsys, "testnet", "--output", tmp_path, "--validators", 1, "--if-absent")
    assert not (tmp_path / "validator-1").exists()
    (tmp_path / "network.json").unlink()
    (tmp_path / "docker-compose.yml").unlink()
    (tmp_path / "validator-0" / "data").mkdir()
    assert "not empty" in run(capsys, "testnet", "--output", tmp_path, code=2).err


def test_config_show_and_default(tmp_path, capsys, monkeypatch):
    run(capsys, "init", "--home", tmp_path, "--set", "rpc.port=7")
    monkeypatch.setenv("SEQUENCER_METRICS__PORT", "8")
    shown = run(capsys, "config", "show", "--origin", "--home", tmp_path, "--set", "logging.level=debug").out
    for line in (
        "port = 7  # config.toml",
        "port = 8  # environment",
        'level = "debug"  # flag',
        "ttl_s = 30.0  # default",
    ):
        assert line in shown
    values = json.loads(run(capsys, "config", "show", "--home", tmp_path, "--json").out)
    assert values["rpc"]["port"] == 7
    assert 'preset = "lan"\n' in run(capsys, "config", "default", "--preset", "lan").out
