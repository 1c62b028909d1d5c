"""The mutants are up to date: every patch still applies, and the test that it names exists."""

import pytest

from tests.mutants.patches import ROOT, Mutant, apply, has_test, load_all

MUTANTS = load_all()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_it_applies(mutant: Mutant) -> None:
    assert apply(mutant, ROOT, "--check") == ""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_its_test_exists(mutant: Mutant) -> None:
    assert has_test(mutant.test)


def test_there_are_mutants() -> None:
    assert len(MUTANTS) >= 50
