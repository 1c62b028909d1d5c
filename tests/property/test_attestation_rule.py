"""The one-bit attestation rule against its definition over the whole chain."""

from hypothesis import given
from hypothesis import strategies as st

from consensus.numbers import Milliseconds
from sequencer.execution.attested import Attested, due_attestation, is_open_after

ATTEST_MS = 50
Chain = list[tuple[int, bool]]  # (ts_ms, is_empty), height 1 first; block 0 is empty at time 0

chains = st.lists(st.tuples(st.integers(1, 60), st.booleans()), max_size=40).map(
    lambda steps: [(sum(step for step, _ in steps[: at + 1]), is_empty) for at, (_, is_empty) in enumerate(steps)]
)


def attested_by_definition(chain: Chain) -> set[int]:
    """Straight from the rule; the second clause first, since it says which heights count as attested before b."""
    times = [0, *(ts_ms for ts_ms, _ in chain)]
    empty = [True, *(is_empty for _, is_empty in chain)]
    attested = {height for height in range(1, len(chain)) if not empty[height] and empty[height + 1]}
    for height in range(1, len(chain) + 1):
        last = max((other for other in attested if other < height), default=0)
        has_data = not all(empty[last + 1 : height + 1])
        if times[height] // ATTEST_MS > times[height - 1] // ATTEST_MS and has_data:
            attested.add(height)
    return attested


def attested_by_state(chain: Chain) -> list[int]:
    heights, is_open, parent_ts_ms = [], False, Milliseconds(0)
    for height, (ts_ms, is_empty) in enumerate(chain, 1):
        due = due_attestation(
            is_parent_open=is_open,
            parent_ts_ms=parent_ts_ms,
            ts_ms=Milliseconds(ts_ms),
            is_empty=is_empty,
            attest_ms=ATTEST_MS,
        )
        if due is not Attested.NOTHING:
            heights.append(height if due is Attested.BLOCK else height - 1)
        is_open, parent_ts_ms = is_open_after(due, is_empty=is_empty), Milliseconds(ts_ms)
    return heights


@given(chains)
def test_one_bit_of_state_gives_the_rule(chain: Chain) -> None:
    heights = attested_by_state(chain)
    assert heights == sorted(set(heights))
    assert set(heights) == attested_by_definition(chain)


@given(chains)
def test_what_the_rule_attests_never_depends_on_later_blocks(chain: Chain) -> None:
    whole = attested_by_state(chain)
    for length in range(len(chain)):
        part = attested_by_state(chain[:length])
        assert part == whole[: len(part)]


@given(chains)
def test_an_idle_chain_has_everything_attested(chain: Chain) -> None:
    ended = [*chain, (chain[-1][0] + 1 if chain else 1, True)]
    with_data = [height for height, (_, is_empty) in enumerate(ended, 1) if not is_empty]
    assert not with_data or attested_by_state(ended)[-1] == with_data[-1]
