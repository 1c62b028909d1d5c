"""What a node says at its start of the chain that it belongs to."""

import pytest
from structlog.testing import capture_logs

from sequencer.node.own_validator import warn_of_indispensable
from tests.simulation.keys import make_genesis


@pytest.mark.parametrize(
    ("stakes", "named"), [((1, 1, 1, 1), []), ((5, 1, 1, 1, 1), [0]), ((1, 1, 1), [0, 1, 2]), ((1,), [])]
)
def test_a_validator_with_a_third_of_the_stake_is_warned_of(stakes: tuple[int, ...], named: list[int]) -> None:
    with capture_logs() as logs:
        warn_of_indispensable(make_genesis(stakes))
    assert [entry["validator"] for entry in logs] == named
    assert all(entry["event"] == "validator_is_indispensable" for entry in logs)
    assert all(entry["log_level"] == "warning" for entry in logs)
