"""A process that stores batches and safety records for ever and says what is synced, until it is killed.

Arguments: home, number of the first record. Standard output: one line for each thing that a returned call made durable.
"""

import hashlib
import itertools
import os
import random
import sys
from pathlib import Path

from storage.batches import BatchLog
from storage.database import Database
from storage.home import batches_directory
from storage.safety import SafetyStore
from storage.segments import BatchRecord

CHAIN_ID = b"\x01" * 32
SEGMENT_BYTES = 64 * 1024


def batch_of(number: int) -> bytes:
    source = random.Random(number)
    return number.to_bytes(8, "big") + source.randbytes(source.choice((1, 300, 5_000, 40_000)))


def digest_of(number: int) -> bytes:
    return hashlib.sha256(batch_of(number)).digest()


def record_of(number: int) -> bytes:
    return random.Random(-number).randbytes(2_000) + b"%d" % number


def write_until_killed(home: Path, first: int) -> None:
    database = Database.open(home, CHAIN_ID)
    log = BatchLog.open(batches_directory(home), database, CHAIN_ID, segment_bytes=SEGMENT_BYTES)
    number = first
    for turn in itertools.count(first):
        group = range(number, number + random.Random(turn).randint(1, 6))
        number = group.stop
        records = [BatchRecord(1, one, digest_of(one), 1_000, batch_of(one)) for one in group]
        log.append_many(records, lambda: 2_000)
        say("".join(f"batch {one}\n" for one in group))
        database.write(SafetyStore.record_puts(record_of(turn), {}), sync=True)
        say(f"record {turn}\n")


def say(lines: str) -> None:
    os.write(1, lines.encode())


if __name__ == "__main__":
    write_until_killed(Path(sys.argv[1]), int(sys.argv[2]))
