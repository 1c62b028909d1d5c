"""The batch log against a dictionary: appends, repeats, forks, torn tails and lost index entries in any order."""

import hashlib
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from storage import segments
from storage.batches import BatchLog
from storage.database import Database
from storage.home import batches_directory
from storage.keyspace import BATCH_DIGEST, BATCH_SYNCED_END, id_key, lane_key
from storage.segments import BatchRecord, file_name

CHAIN_ID = b"\x01" * 32
SEGMENT_BYTES = 1_200
RECEIVED_MS = 1_000


def batch_record(author: int, seq: int, batch: bytes) -> BatchRecord:
    """The digest covers author and seq, as that of a real batch does: one digest is never two batches."""
    return BatchRecord(author, seq, hashlib.sha256(b"%d/%d/" % (author, seq) + batch).digest(), RECEIVED_MS, batch)


batch_records = st.builds(batch_record, st.integers(0, 1), st.integers(1, 4), st.binary(min_size=1, max_size=500))


class BatchLogModel(RuleBasedStateMachine):
    """What must be held: digest → (record as first appended, arrival)."""

    @initialize()
    def begin(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="batch-log-model-"))
        self.held: dict[bytes, tuple[BatchRecord, int]] = {}
        self.now_ms = 2_000
        self.open_log()

    def open_log(self) -> None:
        self.database = Database.open(self.home, CHAIN_ID)
        self.log = BatchLog.open(batches_directory(self.home), self.database, CHAIN_ID, segment_bytes=SEGMENT_BYTES)

    def close_log(self) -> None:
        self.log.close()
        self.database.close()

    def teardown(self) -> None:
        if hasattr(self, "home"):
            self.close_log()
            shutil.rmtree(self.home)

    @rule(records=st.lists(batch_records, max_size=5))
    def append(self, records: list[BatchRecord]) -> None:
        self.now_ms += 1
        stored = self.log.append_many(records, lambda: self.now_ms)
        for record in records:
            self.held.setdefault(record.digest, (record, self.now_ms))
        assert [one.digest for one in stored] == [record.digest for record in records]

    @rule()
    def reopen(self) -> None:
        self.close_log()
        self.open_log()

    @rule(records=st.lists(batch_records, min_size=1, max_size=3), data=st.data())
    @precondition(lambda self: self.log._file > 0)
    def crash_in_the_middle_of_a_write(self, records: list[BatchRecord], data: st.DataObject) -> None:
        """A prefix of the next group reached the file, its sync did not return, and its index was never written."""
        start, mark, number = self.log._end, self.log._mark, self.log._file
        fresh = list({record.digest: record for record in records if record.digest not in self.held}.values())
        parts = [segments.encode_record(record, mark=mark, group=start) for record in fresh]
        written = b"".join(parts)
        kept = data.draw(st.integers(0, len(written)))
        self.close_log()
        with (batches_directory(self.home) / file_name(number)).open("ab") as file:
            file.write(written[:kept])
        self.open_log()
        end = 0
        for record, part in zip(fresh, parts, strict=True):
            end += len(part)
            if end <= kept:
                self.held[record.digest] = (record, RECEIVED_MS)

    @rule(data=st.data())
    @precondition(lambda self: self.log._incomplete)
    def lose_the_newest_index_entries(self, data: st.DataObject) -> None:
        """A power cut takes plain puts since the last file was closed: any of them, the last marks too."""
        lost = data.draw(st.lists(st.sampled_from(self.log._incomplete), unique=True))
        keys = [
            key for one in lost for key in (id_key(BATCH_DIGEST, one.digest), lane_key(one.author, one.seq, one.digest))
        ]
        self.database.write([], [*keys, BATCH_SYNCED_END], sync=True)
        for one in lost:
            self.held[one.digest] = (self.held[one.digest][0], RECEIVED_MS)
        self.reopen()

    @invariant()
    def everything_is_held_as_it_was_appended(self) -> None:
        if not hasattr(self, "held"):
            return
        for digest, (record, arrival_ms) in self.held.items():
            stored = self.log.find(digest)
            assert stored is not None
            assert (stored.author, stored.seq, stored.arrival_ms) == (record.author, record.seq, arrival_ms)
            assert self.log.read(digest) == record.batch
        for author in (0, 1):
            mine = [record for record, _ in self.held.values() if record.author == author]
            expected = sorted((record.seq, record.digest) for record in mine)
            assert [(one.seq, one.digest) for one in self.log.list_lane(author, 0, 10_000)] == expected


TestBatchLogModel = BatchLogModel.TestCase
TestBatchLogModel.settings = settings(max_examples=40, stateful_step_count=20)
