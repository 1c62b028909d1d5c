"""A valid set of reports always fits in a tip: else whoever fills the lanes could make a leader's tip unsendable."""

import pytest

from consensus.errors import GenesisError
from consensus.genesis import Genesis
from consensus.numbers import Digest
from tests.simulation.forge import START_MS, Forge, no_block
from tests.simulation.keys import make_genesis


@pytest.mark.parametrize("count", [1, 4, 7])
def test_the_longest_valid_tip_fits(count):
    """Everybody lists as much as it may, no two the same, with ages of five bytes; every certificate is full."""
    chain = make_genesis((1,) * count)
    forge = Forge(chain)
    first = forge.tip(1, forge.genesis_qc)
    justify = forge.certify(first, signers=forge.everybody)
    proof = forge.tc(3, dict.fromkeys(forge.everybody, justify))
    reports = tuple(
        forge.report(
            4,
            validator,
            START_MS + 50,
            {
                lane: (
                    0,
                    [
                        (Digest(no_block(f"{validator} {lane} {place}")), 2**32 - 1)
                        for place in range(chain.parameters.lane_report_batches)
                    ],
                )
                for lane in range(count)
            },
        )
        for validator in range(count)
    )
    tip = forge.tip(4, justify, proof, reports)
    assert all(len(report.encoded) <= chain.report_bytes_max for report in reports)
    assert len(tip.encoded) <= chain.tip_bytes_max


def test_a_bound_that_is_too_small_is_refused_at_genesis():
    class TooSmall(Genesis):
        @property
        def tip_bytes_max(self) -> int:
            return len(self.validators) * self.report_bytes_max

    chain = make_genesis((1, 1, 1, 1))
    made = TooSmall(chain.name, chain.time_ms, 0, chain.parameters, chain.validators, chain.namespaces)
    with pytest.raises(GenesisError, match="does not fit"):
        made.check()
