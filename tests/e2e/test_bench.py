"""The benchmark's commands work from beginning to end; what they measure is not looked at."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from tests.e2e.network import COMMAND, environment

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parents[2]
SHORT = ("--seconds", "3", "--warm-up", "1", "--rate", "50", "--items", "5", "--size", "64", "--unloaded", "2")


def bench(directory, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "tests.bench", *arguments],
        cwd=directory,
        env=environment() | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def newest(directory):
    return max((directory / ".bench").iterdir())


def test_a_run_keeps_everything_and_is_compared_with_the_one_before(tmp_path):
    for number in range(2):
        ended = bench(tmp_path, "--validators", "1", *SHORT)
        assert ended.returncode == 0, ended.stderr
        assert ("compared with" in ended.stdout) == (number == 1)
    folder = newest(tmp_path)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["kind"] == "run"
    assert summary["figures"]["final tx/s"] > 0
    assert json.loads((folder / "loaded.json").read_text())["record"]["total"]["final"] == 150
    assert "throughput" in (folder / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("sweep", "namespaces", "--values", "1", "1000"),
        ("sweep", "size", "--values", "128", "65536"),
        ("crash",),
        ("price", "--counts", "1", "4", "--delays-ms", "0", "10"),
        ("trouble", "slow-disk", "--quick"),
        ("trouble", "connections", "--quick"),
        ("trouble", "tiny", "--quick"),
    ],
    ids=" ".join,
)
def test_every_word_ends_with_a_report(tmp_path, words):
    ended = bench(tmp_path, *words, *SHORT)
    if ended.returncode == 2 and "cannot be measured here" in ended.stderr:
        pytest.skip(ended.stderr)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (newest(tmp_path) / "report.html").exists()


async def test_a_load_on_a_running_network(make_network, tmp_path):
    network = make_network(1)
    network.start()
    await network.until_ready()
    command = [*COMMAND, "bench", "--rpc", network.nodes[0].url, "--json", "--raw", str(tmp_path / "raw.json")]
    command += ["--rate", "50", "--seconds", "2", "--warm-up", "0", "--items", "5"]
    ended = await trio.run_process(command, capture_stdout=True, check=True, env=environment())
    assert json.loads(ended.stdout)["lost"]["refused"] == 0
    assert json.loads((tmp_path / "raw.json").read_text())["total"]["final"] == 100
    refused = await trio.run_process([*command, "--size", "0"], check=False, env=environment())
    assert refused.returncode == 2
    await network.stop()
