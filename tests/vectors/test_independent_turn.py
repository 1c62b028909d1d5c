"""The order of turns once more, from its definition: it shares no code with the first one.

The seed is SHA-256(previous batch hash ‖ index u64). Draw d, from 0 on, takes the number SHA-256(seed ‖ d u16), as a
big-endian integer, modulo the stake of those left; they stand in a row by index, each as wide as its stake, and the one
in whose part the number falls is next.
"""

from itertools import accumulate

from tests.vectors.independent import big, load, raw, sha


def order(stakes: list[int], previous: bytes, index: int) -> list[int]:
    seed, left, drawn = sha(previous, big(index, 8)), dict(enumerate(stakes)), list[int]()
    for draw in range(len(stakes)):
        number = int(sha(seed, big(draw, 2)).hex(), 16) % sum(left.values())
        ends = zip(sorted(left), accumulate(left[validator] for validator in sorted(left)), strict=True)
        drawn.append(next(validator for validator, end in ends if number < end))
        del left[drawn[-1]]
    return drawn


def test_the_orders_are_the_same() -> None:
    committees = load("turn.json")["committees"]
    for committee in committees:
        for case in committee["orders"]:
            assert order(committee["stakes"], raw(case["previous"]), case["index"]) == case["order"]
    assert len({tuple(case["order"]) for committee in committees for case in committee["orders"]}) > len(committees)
