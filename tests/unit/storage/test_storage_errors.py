"""Foreign errors become ours: a full disk is told apart, and messages name the remedy."""

import errno
import os
from pathlib import Path

import pytest

from storage.errors import (
    DiskFull,
    HomeInUse,
    OtherChain,
    SafetyRecordLost,
    StartRefused,
    StorageFault,
    fault_from,
    faults_mapped,
)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_every_way_of_having_no_room_is_a_full_disk(number):
    fault = fault_from(OSError(number, os.strerror(number)), "appending")
    assert isinstance(fault, DiskFull)
    assert "while appending" in str(fault)


def test_a_full_disk_is_known_by_leveldbs_text():
    fault = fault_from(OSError(b"IO error: /x/000003.log: No space left on device"), "writing")
    assert isinstance(fault, DiskFull)
    assert "000003.log" in str(fault)


def test_any_other_error_is_a_plain_fault():
    fault = fault_from(OSError(errno.EIO, "Input/output error"), "reading")
    assert type(fault) is StorageFault


def test_file_operations_map_their_errors():
    with pytest.raises(StorageFault, match="storage failed while opening it"), faults_mapped("opening it"):
        raise OSError(errno.EIO, "Input/output error")


def test_messages_name_the_holder_both_chains_and_the_remedy():
    assert "process 42" in str(HomeInUse(Path("/home/of/it"), 42))
    assert "another process" in str(HomeInUse(Path("/home/of/it"), None))
    other = OtherChain(Path("/data"), found=b"\x01" * 32, expected=b"\x02" * 32, remedy="Do this.")
    assert "01" * 32 in str(other)
    assert "02" * 32 in str(other)
    assert "Do this." in str(other)
    assert "register new keys" in str(SafetyRecordLost(Path("/keys/USED"), 5))
    assert issubclass(SafetyRecordLost, StartRefused)
