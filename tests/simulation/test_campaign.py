"""Seeded random attacks: what must never happen, at any seed; and the same seed is the same run."""

import pytest

from tests.simulation.campaign import Campaign

QUICK_SEEDS = range(16)
LONG_SEEDS = range(1_000, 1_400)
SEEDS_PER_TEST = 8


@pytest.mark.parametrize("first", QUICK_SEEDS[::SEEDS_PER_TEST])
def test_a_random_attack_does_no_harm(first):
    for seed in range(first, first + SEEDS_PER_TEST):
        Campaign(seed, duration_ms=250).run()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", LONG_SEEDS[::50])
def test_many_random_attacks_do_no_harm(first):
    for seed in range(first, first + 50):
        Campaign(seed, duration_ms=800).run()


def test_the_same_seed_is_the_same_run():
    first, second, other = (Campaign(seed, duration_ms=150) for seed in (3, 3, 4))
    for campaign in (first, second, other):
        campaign.run()
    assert first.trace.digest() == second.trace.digest()
    assert first.trace.digest() != other.trace.digest()
