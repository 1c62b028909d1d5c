"""Runs one schedule and says what came of it.

Responsible for: turning any failure into words and a command, and a running schedule into readable lines.
"""

import traceback
from collections.abc import Callable
from dataclasses import dataclass

from consensus.replica.effects import Effect
from tests.scripts.trace import Trace
from tests.simulation.node import Node
from tests.simulation.schedule import Options, Result, Schedule
from tests.simulation.whole.cryptography import quick_signatures

LINE = "{time_ms:9.3f}  {text}\n"


@dataclass(frozen=True)
class Outcome:
    """Of one schedule: its result, or why it failed and which faults had struck until then."""

    seed: int
    result: Result | None
    failure: str
    struck: tuple[str, ...]
    end_ms: float

    def describe(self) -> str:
        """One paragraph."""
        if self.result is not None:
            result = self.result
            kind = "whole nodes" if result.is_whole else "replicas"
            return (
                f"seed {self.seed}: {result.validators} {kind}, {result.views} views, {result.blocks} blocks, "
                f"{len(result.struck)} faults; trace {result.trace_hash}"
            )
        return f"seed {self.seed} FAILED at {self.end_ms:.3f} ms after {len(self.struck)} faults: {self.failure}"


def run_schedule(seed: int, options: Options | None = None, show: Callable[[str], object] | None = None) -> Outcome:
    """Runs it with quick signatures. `show` is handed one line for each thing that a node says or does."""
    with quick_signatures(ecdsa=True):
        schedule = Schedule(seed, options)
        if show is not None:
            _show(schedule, show)
        try:
            result = schedule.run()
        except Exception as error:  # noqa: BLE001 - whatever a node raises is what we look for
            place = traceback.extract_tb(error.__traceback__)[-1]
            words = f"{type(error).__name__}: {error} ({place.filename.rpartition('/')[2]}:{place.lineno})"
            return Outcome(seed, None, words, tuple(schedule.dice.struck), schedule.cluster.time_ms)
        return Outcome(seed, result, "", result.struck, schedule.cluster.time_ms)


def replay_command(seed: int, options: Options | None = None) -> str:
    """What runs the same schedule again."""
    words = [f"python -m tests.simulation replay {seed} --trace"]
    if options is not None and options.duration_ms is not None:
        words.append(f"--duration-ms {options.duration_ms:g}")
    if options is not None and options.only is not None:
        words.append("--only " + " ".join(options.only))
    return " ".join(words)


def _show(schedule: Schedule, show: Callable[[str], object]) -> None:
    trace = Trace(schedule.cluster)
    show(f"{schedule.shape}\n")

    def observe(node: Node, effect: Effect) -> None:
        for line in trace.take():
            show(line + "\n")

    schedule.cluster.observers.append(observe)
