"""Binding parameters: by name, by position, defaults, and what is refused before a method runs."""

import pytest

from consensus.numbers import NamespaceId
from sequencer.client.status import Status
from sequencer.rpc.errors import RequestRefused
from sequencer.rpc.faults import find_fatal
from sequencer.rpc.methods import METHODS
from storage.errors import DiskFull

HASH = bytes(range(32))
HASH_HEX = "0x" + HASH.hex()
WAIT = METHODS["seq_waitForTransaction"]


@pytest.mark.parametrize(
    "params",
    [
        [HASH_HEX, "attested", 5],
        {"hash": HASH_HEX, "status": "attested", "timeout_ms": 5},
        {"timeout_ms": 5, "status": "attested", "hash": HASH_HEX.upper().replace("0X", "0x")},
    ],
)
def test_by_name_and_by_position_bind_the_same(params):
    assert WAIT.bind(params) == [HASH, Status.ATTESTED, 5, None]


def test_what_is_left_out_has_its_default():
    assert WAIT.bind([HASH_HEX]) == WAIT.bind({"hash": HASH_HEX}) == [HASH, Status.FINAL, 10_000, None]
    assert METHODS["seq_listPeers"].bind(None) == METHODS["seq_listPeers"].bind([]) == []
    assert METHODS["seq_getAttestation"].bind({}) == ["attested"]


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ([], "hash is missing"),
        (None, "hash is missing"),
        ({"status": "final"}, "hash is missing"),
        ([HASH_HEX, "final", 1, 2], "place is an object"),
        ([HASH_HEX, "final", 1, None, 2], "4 parameters, not 5"),
        ([HASH_HEX, "final", 1, {"lane": 1, "seq": 2}], "place.batch is missing"),
        ({"hash": HASH_HEX, "height": 1}, "no parameter 'height'"),
        ([None], "hash is a 0x hex string"),
        ([HASH_HEX, None], "status is a rung"),
        ([HASH_HEX, "final", 2**53], "timeout_ms is a number"),
        ("x", "array or an object"),
    ],
)
def test_what_does_not_bind_is_refused_by_name(params, named):
    with pytest.raises(RequestRefused, match=named):
        WAIT.bind(params)


def test_a_null_is_no_value_left_out():
    with pytest.raises(RequestRefused, match="count is a number"):
        METHODS["seq_listNamespaces"].bind({"count": None})


def test_a_namespace_may_be_as_wide_as_its_id():
    assert METHODS["seq_getNamespaceProof"].bind(["0xffffffffffffffff"]) == [NamespaceId(2**64 - 1), "attested"]


def test_a_fatal_fault_is_found_inside_groups():
    full = DiskFull("no room")
    nested = ExceptionGroup("", [ValueError(), ExceptionGroup("", [full])])
    assert find_fatal(nested) is full
    assert find_fatal(full) is full
    assert find_fatal(ExceptionGroup("", [ValueError()])) is None
