"""Raises the number of the safety record from time to time, so that an older copy of the data can be told."""

from pathlib import Path

import trio

from storage.database import Database
from storage.record_number import RecordNumber

PERIOD_S = 30


async def run_record_number(database: Database, keys_dir: Path) -> None:
    """Raises it for ever. Raises `StorageFault`."""
    number = RecordNumber(database, keys_dir)
    while True:
        await trio.sleep(PERIOD_S)
        await trio.to_thread.run_sync(number.rise)
