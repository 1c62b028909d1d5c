"""Why a contract refused a call: the `Error(string)` in the bytes of a revert.

Responsible for: reading the reason out of an endpoint's error data, whatever it holds.
Refuses to do: raise. What cannot be read is an empty reason.
"""

from typing import Final

from sequencer.l1.errors import MalformedL1Answer
from sequencer.l1.shapes import as_bytes

REASON_BYTES_MAX: Final = 256
_ERROR_SELECTOR: Final = bytes.fromhex("08c379a0")  # keccak256("Error(string)")[:4]
_HEAD_BYTES: Final = 4 + 64  # selector ‖ offset ‖ length
_DATA_BYTES_MAX: Final = 4_096
_NETHERMINDS: Final = "Reverted "  # stands before the data in that node's errors


def reason_of(data: object) -> str:
    """The reason in a revert's data, `data` being what stands in the JSON-RPC error; empty where there is none."""
    if isinstance(data, str):
        data = data.removeprefix(_NETHERMINDS)
    try:
        raw = as_bytes(data, "revert data", _DATA_BYTES_MAX)
    except MalformedL1Answer:
        return ""
    if len(raw) < _HEAD_BYTES or raw[:4] != _ERROR_SELECTOR:
        return ""
    length = int.from_bytes(raw[36:_HEAD_BYTES], "big")
    text = raw[_HEAD_BYTES : _HEAD_BYTES + length] if length <= REASON_BYTES_MAX else b""
    return text.decode(errors="replace")
