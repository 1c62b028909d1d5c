"""Which segment files are worth pruning, and in what portions what is needed of them is copied.

Responsible for: what each closed file holds of each lane, read once while the file stays.
Refuses to do: remove or write anything: the log does (`batches.py`).
"""

from collections.abc import Callable, Iterator, Sequence

from storage.batch_index import StoredBatch
from storage.segments import FoundRecord

LOOKED_AT_FILES_MAX = 512  # a quarter of them is 128 lanes of 64 MiB
SCANNED_FILES_MAX = 2  # in one call; what was found is kept
COPIED_RECORDS_MAX = 256  # in one write
COPIED_BYTES_MAX = 4 * 1024 * 1024  # likewise; one batch at least


class FileShares:
    """By file and author: the last seq, and the bytes of its batches."""

    def __init__(self, scan: Callable[[int], Sequence[FoundRecord]]) -> None:
        """`scan` reads a closed file."""
        self._scan = scan
        self._shares: dict[int, dict[int, tuple[int, int]]] = {}

    def is_worth_pruning(self, first_file: int, end: int, is_needed: Callable[[int, int], bool]) -> bool:
        """Whether the shortest run of files from `first_file` on, below `end`, is needed to at most a quarter.

        Of a lane in a file all counts as needed if its last batch there is. Reads at most SCANNED_FILES_MAX files:
        false where more would have to be known, which the next call does.
        """
        needed = total = scanned = 0
        for number in range(first_file, min(end, first_file + LOOKED_AT_FILES_MAX)):
            if number not in self._shares:
                if scanned == SCANNED_FILES_MAX:
                    return False
                scanned += 1
                self._shares[number] = self._scan_shares(number)
            for author, (last_seq, byte_count) in self._shares[number].items():
                total += byte_count
                needed += byte_count if is_needed(author, last_seq) else 0
            if 4 * needed <= total:
                return True
        return False

    def forget(self, number: int) -> None:
        """The file is gone."""
        self._shares.pop(number, None)

    def _scan_shares(self, number: int) -> dict[int, tuple[int, int]]:
        shares: dict[int, tuple[int, int]] = {}
        for record in self._scan(number):
            last_seq, byte_count = shares.get(record.author, (0, 0))
            shares[record.author] = max(last_seq, record.seq), byte_count + record.length
        return shares


def copied_groups(batches: Sequence[StoredBatch]) -> Iterator[list[StoredBatch]]:
    """In their order, within the bounds of one copying write."""
    group: list[StoredBatch] = []
    size = 0
    for stored in batches:
        if group and (len(group) >= COPIED_RECORDS_MAX or size + stored.length > COPIED_BYTES_MAX):
            yield group
            group, size = [], 0
        group.append(stored)
        size += stored.length
    if group:
        yield group
