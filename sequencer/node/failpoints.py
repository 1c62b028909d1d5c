"""Named points at which a process kills itself, so that tests can crash a real node exactly there.

Responsible for: knowing the names, and killing.
Refuses to do: anything on a network that is not a development network (the configuration refuses it).

Invariants:
1. A point that is not armed costs one look-up in an empty mapping.
2. Death is SIGKILL to ourselves: nothing is flushed, closed or answered.
"""

import os
import signal
from collections.abc import Sequence

from sequencer.node.dying_disk import WAYS, DyingDisk
from sequencer.node.errors import ConfigError
from storage import durable

FAILPOINTS = (
    "consensus_before_save",  # the safety record is ready, not written
    "consensus_after_save",  # synced, nothing sent
    "consensus_after_send",  # the first message of the turn was handed to the links
    "batch_before_append",  # batches are ready, not written
    "batch_after_append",  # synced in the segment file, not noted as held
    "own_batch_before_append",  # an own batch is signed, not written
    "own_batch_after_append",  # synced, the own head is not saved
    "own_batch_after_head",  # the own head is synced, nothing was pushed or answered
    "own_batch_after_push",  # pushed to the links, receipts not made
    "own_batch_after_receipt",  # receipts were made
    "execution_before_save",  # a height is executed, not written
    "execution_after_save",  # synced, not attested
    "attestation_before_save",  # an attestation is signed, not written
    "attestation_after_save",  # synced, not sent
    "post_before_save",  # a commit to the L1 is signed, not written
    "post_after_save",  # synced in the intent log, not sent
    "post_after_send",  # sent to the L1, its receipt not seen
)
DISK_OPERATION = "disk_operation"  # one of what storage asks of the disk, by its number: see `dying_disk.py`


class Failpoints:
    """The armed points: `name` kills at the first passage, `name:7` at the seventh.

    `disk_operation:7:lost` kills at the seventh operation of the disk, in that way.
    """

    def __init__(self, armed: Sequence[str] = ()) -> None:
        """Raises `ConfigError` for a name that does not exist."""
        self._passages_left: dict[str, int] = {}
        for entry in armed:
            name, _, rest = entry.partition(":")
            if name == DISK_OPERATION:
                durable.set_witness(_dying_disk(entry, rest))
            elif name not in FAILPOINTS or (rest and not rest.isdecimal()):
                raise ConfigError(f"there is no failpoint {entry}", [f"name or name:count, of {', '.join(FAILPOINTS)}"])
            else:
                self._passages_left[name] = int(rest or 1)

    def reach(self, name: str) -> None:
        """Dies here if this passage is the armed one."""
        left = self._passages_left.get(name)
        if left is None:
            return
        if left <= 1:
            os.kill(os.getpid(), signal.SIGKILL)
        self._passages_left[name] = left - 1


def _dying_disk(entry: str, rest: str) -> DyingDisk:
    number, _, way = rest.partition(":")
    for known in WAYS:
        if number.isdecimal() and way == known:
            return DyingDisk(int(number), known)
    raise ConfigError(f"there is no failpoint {entry}", [f"{DISK_OPERATION}:number:way, of {', '.join(WAYS)}"])
