"""The list of mutants: patches that each remove one rule, with the test that must notice.

A patch starts with one line `# what the rule says | the test that must fail`, then a unified diff against the sources.
"""

import ast
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Mutant:
    """One patch file."""

    path: Path
    rule: str
    test: str

    @property
    def name(self) -> str:
        return self.path.stem


def load(path: Path) -> Mutant:
    """Reads a patch's first line. Raises `ValueError` if it is not in form."""
    first = path.read_text().splitlines()[0]
    rule, separator, test = first.removeprefix("# ").partition(" | ")
    if not first.startswith("# ") or not separator or "::" not in test:
        raise ValueError(f"{path.name} does not start with '# rule | test'")
    return Mutant(path, rule, test)


def load_all() -> list[Mutant]:
    """Every patch, by name."""
    return [load(path) for path in sorted(FOLDER.glob("*.patch"))]


def copy_tree(target: Path) -> None:
    """What a mutant needs to run its test: the code that has mutants, the tests and the project file."""
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", "*.patch", "bench", "e2e", "integration", "vectors")
    for name in ("consensus", "sequencer", "tests"):
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
