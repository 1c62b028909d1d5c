"""Bytes that survive: one LevelDB database, append-only segment files for batches, and the marks that guard the keys.

Everything here is synchronous and knows bytes and plain integers only; the meaning of a record is decoded above. A
store is a pair: pure functions that return the *puts* of a change, and loads. The caller merges the puts of several
stores into one `Database.write`, so that all that one turn changes becomes durable with one sync.

Where is what: `keyspace` the table of keys, `database` the one writer to LevelDB, `safety` what must be on disk before
anything signed leaves, `key_use` the mark beside the keys, `batches` the segment log, `chain` tips and commits,
`blocks` executed blocks and attestations, `transactions` the index by hash, `home` the lock and the folders.
"""
