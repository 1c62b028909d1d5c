"""Breaks the protocol's rules one at a time and checks that the test named by each patch notices.

    python -m tests.mutants [NAME …] [--jobs N]      NAME: part of a patch's name; all without one
    python -m tests.mutants --table                  prints docs/internals/mutants.md and runs nothing

Every patch is applied to a copy of the tree of its own; only the named test runs there and must fail. A patch that does
not apply, a test that is not found or one that fails without the patch is an error.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.page import render
from tests.mutants.patches import Mutant, apply, copy_tree, load_all

TIMEOUT_S = 180
PYTEST = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=line", "-p", "no:cacheprovider"]
CODE_ERRORS = ("NameError", "ImportError", "SyntaxError", "UnboundLocalError", "AttributeError: ", "TypeError: ")
FAILED, PASSED = 1, 0  # exit codes of pytest; all others mean that it could not run the test


@dataclass(frozen=True)
class Outcome:
    """What became of one mutant."""

    mutant: Mutant
    verdict: str  # caught, survived or broken
    detail: str
    seconds: float


def run_tests(tree: Path, tests: list[str]) -> tuple[int, str]:
    """pytest's exit code and the last lines that it wrote."""
    environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "CI": "1"}
    done = subprocess.run(
        [*PYTEST, *tests], cwd=tree, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    return done.returncode, done.stdout.strip() + done.stderr.strip()


def try_mutant(mutant: Mutant) -> Outcome:
    """Applies one patch to a fresh copy and runs its test there."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        tree = Path(folder)
        copy_tree(tree)
        complaint = apply(mutant, tree)
        if complaint:
            return Outcome(mutant, "broken", complaint.splitlines()[0], time.monotonic() - started)
        code, output = run_tests(tree, [mutant.test])
    last = output.splitlines()[-1] if output else ""
    verdict = {FAILED: "caught", PASSED: "survived"}.get(code, "broken")
    if verdict == "caught" and any(name in output for name in CODE_ERRORS):
        verdict = "broken"  # the patch itself is wrong, which says nothing of the rule
    return Outcome(mutant, verdict, last, time.monotonic() - started)


def check_without_mutants(mutants: list[Mutant]) -> None:
    """The named tests pass on an unchanged copy; else the table would mean nothing."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        tree = Path(folder)
        copy_tree(tree)
        code, output = run_tests(tree, sorted({mutant.test for mutant in mutants}))
    if code != PASSED:
        sys.exit(f"the named tests do not pass without a mutant:\n{output}")


def table(outcomes: list[Outcome]) -> str:
    """One line for each mutant, two for those that were not caught."""
    width = max((len(outcome.mutant.name) for outcome in outcomes), default=0)
    lines = []
    for outcome in outcomes:
        mutant = outcome.mutant
        lines.append(f"{outcome.verdict:9} {outcome.seconds:5.1f} s  {mutant.name:{width}}  {mutant.rule}\n")
        if outcome.verdict != "caught":
            lines.append(f"{'':19}{mutant.test}: {outcome.detail}\n")
    return "".join(lines)


def main() -> int:
    """Prints a table; 0 if every mutant was caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Are the rules' removals noticed?")
    parser.add_argument("names", nargs="*", help="parts of patch names")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--table", action="store_true", help="print the page of mutants and their tests")
    options = parser.parse_args()
    if options.table:
        sys.stdout.write(render(load_all()))
        return 0
    chosen = [m for m in load_all() if not options.names or any(name in m.name for name in options.names)]
    mutants = [mutant for mutant in chosen if not mutant.reason]
    check_without_mutants(mutants)
    with ThreadPoolExecutor(options.jobs) as pool:
        outcomes = list(pool.map(try_mutant, mutants))
    missed = sum(outcome.verdict != "caught" for outcome in outcomes)
    sys.stdout.write(table(outcomes) + f"{len(outcomes) - missed} of {len(outcomes)} mutants were caught\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
