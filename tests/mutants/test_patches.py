"""The mutants are up to date: every patch still applies, and the test that it names exists."""

import ast
from pathlib import Path

import pytest

from tests.mutants.patches import ROOT, Mutant, apply, load_all

MUTANTS = load_all()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_it_applies(mutant: Mutant) -> None:
    assert apply(mutant, ROOT, "--check") == ""


def functions(path: Path) -> set[str]:
    """Names of a file's tests, with their classes: `TestTip::test_it`."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found.update(f"{node.name}::{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef))
    return found


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_its_test_exists(mutant: Mutant) -> None:
    file, _, name = mutant.test.partition("::")
    assert name.partition("[")[0] in functions(ROOT / file)


def test_there_are_mutants() -> None:
    assert len(MUTANTS) >= 50
