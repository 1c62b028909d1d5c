"""The pitfalls of protocols like this one: `docs/internals/pitfalls.md` names the tests that keep each of them shut."""

import re

import pytest

from tests.mutants.patches import ROOT, has_test
from tests.scripts.test_scripts import FILES

PAGE = ROOT / "docs" / "internals" / "pitfalls.md"
SCRIPTS = "tests/scripts/test_scripts.py::test_script"
NAMES = {
    "hidden-lock livelock",
    "the qc_view fork",
    "tail-fork attempt",
    "timer abuse",
    "re-proposed QC abandoned",
    "TC with many distinct bodies",
    "withheld tip named by a TC",
    "entry or fresh swapped by an accuser",
    "timeout body changed after re-broadcast or restart",
    "one bad share",
    "infinity and out-of-subgroup points",
    "high-s and malformed recoverable signatures",
    "duplicate or extra bitmap bits",
    "safety record lost or rolled back",
    "author restarting into the same seq",
    "two processes with one key",
    "memory bounds per sender",
    "dedup swallowing re-broadcast timeouts",
    "far-future timestamps",
    "idle chain must still finalise the last transaction",
    "view-number jumps",
    "unequal stake arithmetic",
    "one validator above a third of the stake",
    "leader without a quorum of reports",
    "full power cut of all nodes",
}


def read_page() -> dict[str, list[str]]:
    """Pitfall → node ids of its tests."""
    sections = PAGE.read_text().split("\n## ")[1:]
    return {section.partition("\n")[0]: re.findall(r"^\* `(.+)`$", section, re.MULTILINE) for section in sections}


PITFALLS = read_page()


def test_no_pitfall_is_forgotten() -> None:
    assert set(PITFALLS) == NAMES


@pytest.mark.parametrize("name", PITFALLS)
def test_it_has_its_tests(name: str) -> None:
    assert PITFALLS[name]
    assert [node_id for node_id in PITFALLS[name] if not has_test(node_id)] == []


def test_named_scripts_exist() -> None:
    node_ids = [node_id for tests in PITFALLS.values() for node_id in tests]
    named = {node_id.partition("[")[2].rstrip("]") for node_id in node_ids if node_id.startswith(SCRIPTS)}
    assert named <= {path.stem for path in FILES}
