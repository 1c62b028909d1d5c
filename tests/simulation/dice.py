"""Randomness with a stream of its own for every kind of fault, so that one can be left out without moving the others.

Responsible for: drawing, and for naming each fault that struck: `kind:number`. A run that is allowed only some of those
names is the same schedule without the rest, which is what makes it possible to shorten one that fails.
Refuses to do: know what the faults are.
"""

import random
from collections import Counter
from collections.abc import Iterable


class Dice:
    """All randomness of one schedule."""

    def __init__(self, seed: int, only: Iterable[str] | None = None) -> None:
        """`only`: the names of faults that may strike; None: all."""
        self._seed = seed
        self._only = frozenset(only) if only is not None else None
        self._streams: dict[str, random.Random] = {}
        self._counts: Counter[str] = Counter()
        self.struck: list[str] = []

    def stream(self, kind: str) -> random.Random:
        """The stream of one kind."""
        found = self._streams.get(kind)
        if found is None:
            found = self._streams[kind] = random.Random(f"{self._seed}/{kind}")
        return found

    def strikes(self, kind: str, probability: float) -> bool:
        """Whether a fault of this kind happens now."""
        if probability <= 0 or self.stream(kind).random() >= probability:
            return False
        self._counts[kind] += 1
        name = f"{kind}:{self._counts[kind]}"
        if self._only is not None and name not in self._only:
            return False
        self.struck.append(name)
        return True
