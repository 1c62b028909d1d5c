"""Every script runs as written and leaves the trace that stands in it. `pytest --rewrite-scripts` records it anew."""

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


def test_there_are_scripts() -> None:
    assert len(FILES) >= 10
