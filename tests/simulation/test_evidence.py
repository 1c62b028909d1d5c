"""The product's detector over all that is said in a run, beside the watcher, which forgets nothing.

That nobody honest is convicted is checked in every schedule, for each proof as it is made.
"""

from collections import Counter

import pytest

from consensus.evidence.detector import OFFENCES_MAX
from tests.simulation.schedule import Options, Schedule
from tests.simulation.whole.cryptography import quick_signatures

LIARS = ("DoubleVoter", "EquivocatingLeader", "StaleTipLiar", "TipWithholder", "Twins", "VoteSplitter")
DURATION_MS = 150.0


def run(seed: int, habits: tuple[str, ...]) -> Schedule:
    options = Options(whole=False, duration_ms=DURATION_MS, habits=habits)
    with quick_signatures(ecdsa=True):
        schedule = Schedule(seed, options)
        schedule.run()
    return schedule


@pytest.mark.parametrize("habit", LIARS)
def test_what_the_watcher_proves_the_detector_finds(habit):
    found = set()
    for seed in range(8):
        cluster = run(seed, (habit,)).cluster
        counts = Counter((f"E{offence.rule}", int(offence.validator)) for offence in cluster.offences)
        proved = {(f"E{offence.rule}", offence.validator, offence.place) for offence in cluster.offences}
        for item in cluster.watcher.convictions():
            if item.rule in ("E1", "E2", "E3", "E5") and counts[item.rule, item.validator] < OFFENCES_MAX:
                assert (item.rule, item.validator, item.view) in proved, f"{item} is not proved"
                found.add(item.rule)
        guilty = {item.validator for item in cluster.watcher.convictions()}
        assert guilty <= {offence.validator for offence in cluster.offences}
    assert found, "nothing was there to be found"


def test_invalid_proposals_convict_their_leaders():
    rules = {offence.rule for seed in range(8) for offence in run(seed, ("TailForker",)).cluster.offences}
    assert 9 in rules
