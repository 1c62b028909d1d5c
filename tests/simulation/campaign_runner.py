"""Many schedules over all cores, with a progress line and a record to go on from.

Responsible for: handing out seeds in order, adding up, and printing failures at once.
Refuses to do: keep on counting over other sources: what was checked was another program.
"""

import gc
import hashlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from tests.simulation.schedule_outcome import Outcome, replay_command, run_schedule

ROOT = Path(__file__).resolve().parents[2]
CHUNK = 20
CHUNKS_AHEAD = 32  # of each process
CHECKED = ("consensus", "storage", "sequencer/lanes", "sequencer/execution", "sequencer/attesting", "sequencer/mempool")


@dataclass
class Sums:
    """What all schedules of a campaign came to."""

    schedules: int = 0
    whole: int = 0
    views: int = 0
    blocks: int = 0
    pairs_judged: int = 0
    receipts: int = 0
    views_of_peace_max: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    failed: list[int] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """One more."""
        self.schedules += 1
        self.faults.update(name.partition(":")[0] for name in outcome.struck)
        if outcome.result is None:
            self.failed.append(outcome.seed)
            return
        result = outcome.result
        self.whole += result.is_whole
        self.views += result.views
        self.blocks += result.blocks
        self.pairs_judged += result.pairs_judged
        self.receipts += result.receipts
        self.views_of_peace_max = max(self.views_of_peace_max, result.views_of_peace)


def source_fingerprint() -> str:
    """A hash of everything that a schedule runs: the cores and the simulator."""
    digest = hashlib.sha256()
    for folder in (*CHECKED, "tests/simulation"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _run_chunk(seeds: list[int]) -> list[Outcome]:
    """One collection of garbage per chunk: a schedule makes much of it and keeps none."""
    gc.disable()
    outcomes = [run_schedule(seed) for seed in seeds]
    gc.collect()
    return outcomes


class Campaigner:
    """See the module."""

    def __init__(self, first: int, count: int, jobs: int | None, record: str | None, seconds: float | None) -> None:
        self._next = first
        self._count = count
        self._jobs = jobs or os.cpu_count() or 1
        self._record = Path(record) if record else None
        self._seconds = seconds
        self._sources = source_fingerprint()
        self._sums = Sums()
        self._earlier: list[dict[str, object]] = []  # runs over other sources
        self._started = time.monotonic()
        self._before = 0

    def run(self) -> int:
        """Runs all; 0 if none failed."""
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))  # so that the pool ends with us
        self._load()
        self._before = self._sums.schedules
        context = multiprocessing.get_context("spawn")
        with context.Pool(self._jobs, maxtasksperchild=100) as pool:
            chunks = self._chunks()
            while window := list(islice(chunks, CHUNKS_AHEAD * self._jobs)):  # a pool takes all that it is given
                for outcomes in pool.imap(_run_chunk, window):
                    for outcome in outcomes:
                        self._take(outcome)
                    self._show_progress()
                    self._save()
                    if self._is_over():
                        break
        sys.stderr.write("\n")
        sys.stdout.write(self._summary())
        return 1 if self._sums.failed else 0

    def _chunks(self) -> Iterator[list[int]]:
        end = self._next + self._count
        for start in range(self._next, end, CHUNK):
            if self._is_over():
                return
            yield list(range(start, min(start + CHUNK, end)))

    def _is_over(self) -> bool:
        return self._seconds is not None and time.monotonic() - self._started > self._seconds

    def _take(self, outcome: Outcome) -> None:
        self._sums.add(outcome)
        self._next = outcome.seed + 1
        if outcome.failure:
            sys.stdout.write(f"\n{outcome.describe()}\n  {replay_command(outcome.seed)}\n")
            sys.stdout.flush()

    def _show_progress(self) -> None:
        done = self._sums.schedules - self._before
        rate = done / max(0.001, time.monotonic() - self._started)
        failed = len(self._sums.failed)
        line = f"{done} of {self._count} schedules, {rate:.1f}/s, {failed} failed, next seed {self._next}"
        sys.stderr.write(f"\r{line:<78}" if sys.stderr.isatty() else f"{line}\n" if done % 1_000 < CHUNK else "")
        sys.stderr.flush()

    def _summary(self) -> str:
        sums = self._sums
        faults = ", ".join(f"{count:,} {kind}" for kind, count in sorted(sums.faults.items()))
        return (
            f"{sums.schedules:,} schedules, {sums.whole:,} of them of whole nodes: {sums.views:,} views, "
            f"{sums.blocks:,} blocks, {sums.pairs_judged:,} pairs and places of batches judged, "
            f"{sums.receipts:,} receipts kept, at most {sums.views_of_peace_max} views until all was final\n"
            f"faults: {faults}\n"
            f"{len(sums.failed)} failed{': ' + ' '.join(map(str, sums.failed)) if sums.failed else ''}\n"
        )

    # the record

    def _load(self) -> None:
        if self._record is None or not self._record.exists():
            return
        stored = json.loads(self._record.read_text())
        self._earlier = stored["earlier"]
        current = stored["current"]
        self._next = max(self._next, current["next_seed"])
        if current["sources"] != self._sources:
            self._earlier.append(current)
            return
        sums = current["sums"]
        self._sums = Sums(**{**sums, "faults": Counter(sums["faults"])})

    def _save(self) -> None:
        if self._record is None:
            return
        sums = {**vars(self._sums), "faults": dict(sorted(self._sums.faults.items()))}
        current = {"sources": self._sources, "next_seed": self._next, "sums": sums}
        written = self._record.with_suffix(".new")
        written.write_text(json.dumps({"current": current, "earlier": self._earlier}, indent=1) + "\n")
        written.replace(self._record)
