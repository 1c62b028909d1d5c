"""What docs/internals says of the code is there: files and names, scripts, and traces word for word."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INTERNALS = ROOT / "docs" / "internals"
SCRIPTS = ROOT / "tests" / "scripts"
CONSENSUS = (INTERNALS / "consensus.md").read_text()
PAGES = sorted(INTERNALS.glob("*.md"))
SPAN = re.compile(r"`([^`\n]+)`")
PLACE = re.compile(r"(?P<file>[\w/]+\.py)(?:: (?P<names>[\w., ]+))?")
LINES_MAX = 400


def names_in(path: Path) -> set[str]:
    """Every function, method, class and attribute that a file defines."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Assign(targets=targets):
                found.update(target.id for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
    return found


def missing_places(text: str, folder: str = "") -> list[str]:
    """Places of a text that do not exist. A file without a folder is in `folder`, or in that of the one before it."""
    missing, here = [], folder
    for span in SPAN.findall(text):
        match = PLACE.fullmatch(span)
        if match is None:
            continue
        file = match["file"]
        if "/" in file and not folder:
            here = file.rpartition("/")[0]
        path = ROOT / (file if "/" in file else f"{here}/{file}")
        if not path.is_file():
            missing.append(span)
            continue
        wanted = {part for name in (match["names"] or "").split(", ") if name for part in name.split(".")}
        if not wanted <= names_in(path):
            missing.append(span)
    return missing


def test_consensus_names_code_that_exists() -> None:
    assert missing_places(CONSENSUS, "consensus/replica") == []


def test_the_where_is_table_names_code_that_exists() -> None:
    lines = (INTERNALS / "where-is.md").read_text().splitlines()
    assert {line: places for line in lines if (places := missing_places(line))} == {}


def test_every_file_of_the_replica_leads_back_to_a_section() -> None:
    back = CONSENSUS.partition("## From the code back here")[2]
    files = {path.name for path in (ROOT / "consensus" / "replica").glob("*.py")} - {"__init__.py"}
    assert {name for name in files if f"`{name}`" not in back} == set()


def test_every_script_shows_a_rule_and_every_named_script_exists() -> None:
    scripts = {path.stem for path in SCRIPTS.glob("*.txt")}
    table = CONSENSUS.partition("## The event table")[2].partition("\n## ")[0]
    shown = {name for row in table.splitlines() if row.startswith("| ") for name in SPAN.findall(row.split("|")[3])}
    assert shown <= scripts
    mentioned = set(SPAN.findall(CONSENSUS))
    assert scripts <= mentioned


def test_traces_are_what_the_scripts_leave() -> None:
    blocks = re.findall(r"^```trace (\w+)\n(.*?)^```$", CONSENSUS, re.MULTILINE | re.DOTALL)
    assert blocks
    for name, block in blocks:
        assert block in (SCRIPTS / f"{name}.txt").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_consensus_stays_readable_in_one_sitting() -> None:
    assert len(CONSENSUS.splitlines()) <= LINES_MAX
