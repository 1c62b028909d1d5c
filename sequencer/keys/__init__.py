"""A validator's keys on disk, and the record of what they have signed."""
