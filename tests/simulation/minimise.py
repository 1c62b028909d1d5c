"""Makes a failing schedule shorter: an earlier end of the faults, and as few of them as still make it fail.

Responsible for: delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002) over
the names of the faults that struck.
Refuses to do: prove that nothing shorter fails: leaving out a fault changes what happens after it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tests.simulation.schedule import Options
from tests.simulation.schedule_outcome import Outcome, run_schedule

RUNS_MAX = 400


@dataclass(frozen=True)
class Shortest:
    """The shortest failing schedule found."""

    options: Options
    outcome: Outcome


class _Search:
    def __init__(self, seed: int, found: Shortest, progress: Callable[[str], object]) -> None:
        self._seed = seed
        self.found = found
        self._progress = progress
        self._runs = 0

    def fails(self, options: Options) -> bool:
        """Whether this one fails, too; then it is the shortest so far."""
        if self._runs >= RUNS_MAX:
            return False
        self._runs += 1
        outcome = run_schedule(self._seed, options)
        if not outcome.failure:
            return False
        self.found = Shortest(options, outcome)
        self._progress(f"run {self._runs}: fails with {len(options.only or ())} faults by {outcome.end_ms:.0f} ms")
        return True


def minimise(seed: int, progress: Callable[[str], object]) -> Shortest | None:
    """The shortest failing schedule that was found, or None if the seed does not fail."""
    outcome = run_schedule(seed)
    if not outcome.failure:
        return None
    search = _Search(seed, Shortest(Options(), outcome), progress)
    options = Options(only=outcome.struck)
    if not search.fails(options):
        return search.found
    for duration_ms in (20.0, 40.0, 60.0, 100.0, 150.0, 200.0, 300.0):
        if search.fails(replace(options, duration_ms=duration_ms)):
            options = search.found.options
            break
    struck = set(search.found.outcome.struck)
    _reduce([name for name in options.only or () if name in struck], options, search)
    return search.found


def _reduce(names: Sequence[str], options: Options, search: _Search) -> None:
    """Delta debugging: leaves out ever smaller parts."""
    names, parts = list(names), 2
    while len(names) >= 1:
        size = max(1, len(names) // parts)
        for start in range(0, len(names), size):
            rest = names[:start] + names[start + size :]
            if search.fails(replace(options, only=tuple(rest))):
                names, parts = rest, max(2, parts - 1)
                break
        else:
            if size == 1:
                return
            parts = min(len(names), 2 * parts)
