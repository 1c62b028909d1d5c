"""Every script runs as written and leaves the trace that stands in it. `pytest --rewrite-scripts` records it anew.

A reader is told first what a script teaches, and every script ends with something that it expects.
"""

from pathlib import Path

import pytest

from tests.scripts.script import Script

FILES = sorted(Path(__file__).parent.glob("*.txt"))
INDENT = "  "


def replay(source: str) -> str:
    """Runs a script; returns it with the trace that it left."""
    script, lines = Script(), []
    for line in source.splitlines():
        if line.startswith(INDENT):
            continue
        lines.append(line)
        if line and not line.startswith("#"):
            try:
                lines.extend(script.run(line))
            except AssertionError as error:
                shown = "\n".join(lines[-40:])
                raise AssertionError(f"after\n{shown}\nthis failed: {error}") from error
    script.finish()
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_script(path: Path, request: pytest.FixtureRequest) -> None:
    source = path.read_text()
    replayed = replay(source)
    if request.config.getoption("--rewrite-scripts"):
        path.write_text(replayed)
    else:
        assert replayed == source


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_script_says_what_it_teaches_and_what_it_expects(path: Path) -> None:
    source = path.read_text()
    head = [line for line in source.partition("\n\n")[0].splitlines() if line.startswith("# ")]
    assert sum(line.count(".") for line in head) >= 1
    assert all(len(line) <= 120 for line in source.splitlines())
    assert "\nexpect " in source


def test_a_trace_that_is_not_what_happened_is_noticed() -> None:
    source = FILES[0].read_text()
    changed = source.replace("votes for tip 2", "votes for tip 1")
    assert changed != source
    assert replay(changed) == source


@pytest.mark.parametrize(
    "expectation", ["expect final 0:1", "expect height 9", "expect view 9", "expect nothing at all", "crash"]
)
def test_what_does_not_hold_or_is_no_command_fails(expectation: str) -> None:
    with pytest.raises((AssertionError, ValueError)):
        replay(f"start\nbatch 0\nrun 1\n{expectation}\n")


def test_rewriting_keeps_commands_and_comments() -> None:
    source = FILES[0].read_text()
    bare = "\n".join(line for line in source.splitlines() if not line.startswith(INDENT)) + "\n"
    assert replay(bare) == source


def test_there_are_scripts() -> None:
    assert len(FILES) >= 30
