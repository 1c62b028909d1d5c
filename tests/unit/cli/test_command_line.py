"""The command line as a person meets it: help, exit codes, what goes to which stream."""

import json
import subprocess
import sys

import pytest

from sequencer.cli.main import main

HEAVY = ("trio", "httpx", "libp2p", "pydantic", "rich", "plyvel", "coincurve", "starlette", "hypercorn")
NOUNS = (
    "devnet",
    "init",
    "testnet",
    "start",
    "status",
    "keys",
    "genesis",
    "config",
    "l1",
    "tx",
    "namespace",
    "validators",
    "peers",
    "derive",
    "bench",
    "version",
)


@pytest.fixture(autouse=True)
def _no_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    for name in ("SEQUENCER_HOME", "SEQUENCER_URL"):
        monkeypatch.delenv(name, raising=False)


def test_help_names_every_noun(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {noun}  " in shown for noun in NOUNS)


@pytest.mark.parametrize("noun", NOUNS)
def test_every_noun_has_help(noun, capsys):
    assert main([noun, "--help"]) == 0
    assert "Usage:" in capsys.readouterr().out


def test_help_imports_nothing_heavy():
    program = "import sys; from sequencer.cli.main import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in ended.stderr.split()}
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["start", "--frobnicate"],
        ["keys"],
        ["tx", "send"],
        ["tx", "send", "1001", "--url", "http://127.0.0.1:1"],
        ["tx", "send", "1001", "0xabc", "--url", "http://127.0.0.1:1"],
        ["tx", "send", "1001", "hello", "--url", "http://127.0.0.1:1"],
        ["tx", "send", "one", "0x00", "--url", "http://127.0.0.1:1"],
        ["tx", "send", str(2**64), "0x00", "--url", "http://127.0.0.1:1"],
        ["tx", "send", "1_0", "0x00", "--url", "http://127.0.0.1:1"],
        ["tx", "send", "0x", "0x00", "--url", "http://127.0.0.1:1"],
        ["namespace", "follow", "-5", "--url", "http://127.0.0.1:1"],
        ["namespace", "follow", "5", "--url", "http://127.0.0.1:1", "--chain-id", "0x12"],
        ["namespace", "follow", "5", "--url", "http://127.0.0.1:1", "--genesis", "nowhere.toml"],
        ["tx", "send", "1", "0x00", "--text", "a", "--url", "http://127.0.0.1:1"],
        ["tx", "send", "1", "0x00", "--wait", "perhaps", "--url", "http://127.0.0.1:1"],
        ["tx", "status", "0x12", "--url", "http://127.0.0.1:1"],
        ["status"],
        ["status", "--url", "127.0.0.1:1"],
        ["start"],
        ["start", "--set", "rpc.port"],
        ["config", "check"],
        ["config", "default", "--preset"],
        ["genesis", "hash"],
        ["keys", "show"],
        ["keys", "export", "node"],
        ["keys", "export", "wallet"],
        ["devnet", "--validators", "0"],
        ["devnet", "--validators", "many"],
        ["devnet", "--namespace", "alpha"],
        ["devnet", "--namespaces", "0"],
        ["devnet", "--namespaces", "5", "--namespace", "7:seven"],
        ["devnet", "--base-port", "65000", "--validators", "100"],
        ["l1", "check"],
        ["l1", "prepare", "--network", "nowhere", "--l1", "http://127.0.0.1:1"],
        ["l1", "deploy", "--genesis", "nowhere.toml", "--key", "nowhere.key", "--l1", "http://127.0.0.1:1"],
        ["devnet", "--l1", "perhaps"],
        ["testnet", "--validators", "129", "--output", "nowhere"],
        ["testnet", "--validators", "2", "--address", "a", "--output", "nowhere"],
        ["testnet", "--validators", "2", "--address", "a", "--address", "a:9000", "--output", "nowhere"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_or_configuration_ends_in_2_without_a_traceback(arguments, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    shown = capfd.readouterr()
    assert shown.err or arguments == ["keys"]
    assert "Traceback" not in shown.err


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["status", "--json"], ["validators", "list"], ["peers", "list"], ["namespace", "list"]],
    ids=" ".join,
)
def test_a_node_that_is_down_is_one_message_and_1(arguments, capsys):
    assert main([*arguments, "--url", "http://127.0.0.1:1"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("sequencer: the node cannot be reached: http://127.0.0.1:1")
    assert shown.err.count("\n") == 1


def test_version(capsys):
    assert main(["version", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) >= {"sequencer", "genesis_format", "python"}
    assert main(["version"]) == 0
    assert "genesis_format" in capsys.readouterr().out


def test_a_reader_that_has_gone_is_no_traceback():
    program = "import sys; from sequencer.cli.main import main; sys.exit(main(['config', 'default']))"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_a_bug_keeps_its_traceback(monkeypatch):
    from sequencer.cli import version

    monkeypatch.setattr(version, "print_fields", lambda _fields: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        main(["version"])


def test_what_the_system_refuses_is_one_message(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["devnet", "--home", str(tmp_path / "file" / "net")]) == 1
    assert main(["init", "--home", str(tmp_path / "file" / "home")]) == 1
    shown = capsys.readouterr().err
    assert shown.count("\n") == 2
    assert str(tmp_path / "file") in shown


def test_a_port_that_is_picked_at_the_start_is_not_guessed(tmp_path, capsys):
    assert main(["init", "--home", str(tmp_path), "--set", "rpc.port=0"]) == 0
    assert main(["status", "--home", str(tmp_path)]) == 2
    assert "--url" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), BaseExceptionGroup("tasks", [BaseExceptionGroup("more", [KeyboardInterrupt()])])],
    ids=["alone", "out of nurseries"],
)
def test_an_interruption_is_130(monkeypatch, error):
    from sequencer.cli import version

    def interrupt(_fields):
        raise error

    monkeypatch.setattr(version, "print_fields", interrupt)
    assert main(["version"]) == 130
