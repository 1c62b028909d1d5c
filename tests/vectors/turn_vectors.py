"""Vectors of the order in which validators may commit a batch."""

from typing import Any

from consensus.signing import sha256
from consensus.validators import ValidatorSet
from sequencer.client.fields import to_hex
from sequencer.settlement.turn import TAKEOVER_L1_BLOCKS, turn_order
from tests.committee import Committee

_STAKES = ((1,), (1, 1, 1, 1), (4, 3, 2, 1), (1, 10**15, 1), (7, 1, 1, 1, 1, 1, 1, 1, 1))


def _orders(validators: ValidatorSet) -> list[Any]:
    places = [(label, index) for label in (b"chain", b"batch") for index in (1, 2, 2**40)]
    return [
        {
            "previous": to_hex(sha256(label)),
            "index": index,
            "order": list(turn_order(validators, sha256(label), index)),
        }
        for label, index in places
    ]


def turn() -> Any:
    """Orders by stakes, previous batch hash and index."""
    return {
        "takeover_l1_blocks": TAKEOVER_L1_BLOCKS,
        "committees": [
            {"stakes": list(stakes), "orders": _orders(Committee(stakes=stakes).chain.validator_set)}
            for stakes in _STAKES
        ],
    }
