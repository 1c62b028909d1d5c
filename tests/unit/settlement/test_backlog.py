"""How much waits for the L1: counted exactly, in bounded memory."""

import pytest

from consensus.numbers import Height, Milliseconds
from sequencer.settlement import backlog
from sequencer.settlement.backlog import BacklogCounter

ATTESTED = Height(9)


def counter(*blocks):
    counted = BacklogCounter()
    for height, byte_count in blocks:
        counted.note_executed(Height(height), Milliseconds(1_000 + height), byte_count)
    return counted


def waiting(counted):
    found = counted.backlog(ATTESTED)
    assert found.attested == ATTESTED
    return found.first, found.oldest_ms, found.byte_count


def test_nothing_waits_at_first():
    assert waiting(BacklogCounter()) == (None, 0, 0)
    assert BacklogCounter().backlog(ATTESTED).age_ms(Milliseconds(10**12)) == 0


def test_blocks_add_up_and_what_is_posted_goes():
    counted = counter((3, 10), (5, 20), (9, 40))
    assert waiting(counted) == (3, 1_003, 70)
    assert counted.backlog(ATTESTED).age_ms(Milliseconds(1_010)) == 7
    counted.note_posted(Height(4))
    assert waiting(counted) == (5, 1_005, 60)
    counted.note_posted(Height(5))
    assert waiting(counted) == (9, 1_009, 40)
    counted.note_posted(Height(100))
    assert waiting(counted) == (None, 0, 0)


def test_a_block_counts_once_and_a_posted_one_never():
    counted = counter((3, 10), (3, 10), (2, 10))
    assert waiting(counted) == (3, 1_003, 10)
    counted.note_posted(Height(6))
    counted.note_executed(Height(6), Milliseconds(1), 10)
    counted.note_executed(Height(7), Milliseconds(2), 5)
    assert waiting(counted) == (7, 2, 5)
    counted.note_posted(Height(1))  # the L1 took a batch back: what waits now, only a new count knows
    assert waiting(counted) == (7, 2, 5)


@pytest.fixture
def few_marks(monkeypatch):
    monkeypatch.setattr(backlog, "MARKS_MAX", 8)


@pytest.mark.usefixtures("few_marks")
@pytest.mark.parametrize("count", [8, 9, 16, 17, 100, 1_000])
def test_memory_is_bounded_and_the_ends_stay_exact(count):
    counted = counter(*((height, height) for height in range(1, count + 1)))
    assert len(counted._marks) <= 8
    assert waiting(counted) == (1, 1_001, count * (count + 1) // 2)
    counted.note_posted(Height(count))
    assert waiting(counted) == (None, 0, 0)


@pytest.mark.usefixtures("few_marks")
def test_between_marks_a_count_is_late_by_less_than_a_mark_and_never_short():
    counted = counter(*((height, 1) for height in range(1, 101)))
    step = max(
        after.height - before.height for before, after in zip(counted._marks, list(counted._marks)[1:], strict=False)
    )
    for posted in range(1, 101):
        counted.note_posted(Height(posted))
        _, _, byte_count = waiting(counted)
        assert 100 - posted <= byte_count < 100 - posted + step


@pytest.mark.usefixtures("few_marks")
def test_counting_goes_on_after_thinning():
    counted = counter(*((height, 1) for height in range(1, 10)))
    counted.note_executed(Height(10), Milliseconds(1), 1)
    assert waiting(counted) == (1, 1_001, 10)
