"""Bytes that survive: LevelDB for records and indices, append-only segment files for batches."""
