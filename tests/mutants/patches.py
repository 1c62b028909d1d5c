"""The list of mutants: patches that each remove one rule, with the test that must notice.

A patch starts with one line, then comes a unified diff against the sources:

    # what the rule says | the test that must fail
    # what the rule says | the test that must fail | how many schedules or seeds that test runs
    # what the rule says | harmless: why nothing can notice

The third part is for tests that draw or simulate: they must catch the mutant within what they run.
"""

import ast
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent
DRAWING = ("tests/simulation/", "tests/property/")
HARMLESS = "harmless: "


@dataclass(frozen=True)
class Mutant:
    """One patch file. `test` is empty for a harmless one, `reason` for all others."""

    path: Path
    rule: str
    test: str
    draws: str
    reason: str
    sources: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def draws_are_stated(self) -> bool:
        """Whether a test that draws says how much, and no other does."""
        return bool(self.draws) == self.test.startswith(DRAWING)


def load(path: Path) -> Mutant:
    """Reads a patch. Raises `ValueError` if its first line is not in form."""
    first, *rest = path.read_text().splitlines()
    rule, *parts = first.removeprefix("# ").split(" | ")
    sources = tuple(line.removeprefix("+++ b/") for line in rest if line.startswith("+++ b/"))
    if first.startswith("# ") and len(parts) == 1 and parts[0].startswith(HARMLESS):
        return Mutant(path, rule, "", "", parts[0].removeprefix(HARMLESS), sources)
    if not first.startswith("# ") or not 1 <= len(parts) <= 2 or "::" not in parts[0]:
        raise ValueError(f"{path.name} does not start with '# rule | test'")
    return Mutant(path, rule, parts[0], parts[1] if len(parts) == 2 else "", "", sources)


def load_all() -> list[Mutant]:
    """Every patch, by name."""
    return [load(path) for path in sorted(FOLDER.glob("*.patch"))]


def copy_tree(target: Path) -> None:
    """What a mutant needs to run its test: the code, the tests and the project file."""
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", "*.patch", "bench", "e2e", "vectors")
    for name in ("consensus", "sequencer", "storage", "p2p", "tests"):
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", target)


def apply(mutant: Mutant, tree: Path, *options: str) -> str:
    """Applies the patch to `tree`; returns git's complaint, empty if there is none."""
    command = ["git", "apply", *options, str(mutant.path)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr.strip()


def has_test(node_id: str) -> bool:
    """Whether the test that pytest calls `file::name`, `file::Class::name` or `file::name[case]` is written there."""
    file, _, name = node_id.partition("::")
    if not (ROOT / file).is_file():
        return False
    found = set()
    for node in ast.parse((ROOT / file).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found.update(f"{node.name}::{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef))
    return name.partition("[")[0] in found
