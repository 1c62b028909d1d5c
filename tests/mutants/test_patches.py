"""The mutants are up to date: every patch still applies, the test that it names exists, and the page shows them all."""

import pytest

from tests.mutants.page import PAGE, render
from tests.mutants.patches import ROOT, Mutant, apply, has_test, load_all

MUTANTS = load_all()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_it_applies(mutant: Mutant) -> None:
    assert apply(mutant, ROOT, "--check") == ""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_its_test_exists(mutant: Mutant) -> None:
    assert mutant.reason or has_test(mutant.test)
    assert mutant.draws_are_stated


def test_no_two_mutants_are_the_same() -> None:
    diffs = [mutant.path.read_text().partition("\n")[2] for mutant in MUTANTS]
    assert len(set(diffs)) == len(diffs)


def test_the_page_is_what_the_patches_say() -> None:
    assert PAGE.read_text() == render(MUTANTS), "python -m tests.mutants --table > docs/internals/mutants.md"


def test_there_are_mutants() -> None:
    assert len(MUTANTS) >= 50
