"""What can be wrong with a batch that a peer sent, by who is to blame.

1. `Fault`: no innocent peer does that. The link's owner mutes the peer.
2. `Dropped`: useless to us but innocent, or our own bound. Counted, nothing else.
3. `consensus.errors.BrokenInvariant`: our own lane is not what we remember. The process must stop: sealing on would
   sign two batches of one seq.

Both enums are closed lists of words for metrics and logs.
"""

from enum import StrEnum, unique


@unique
class Fault(StrEnum):
    """The peer is to blame."""

    MALFORMED = "malformed"  # bytes or a hello that do not decode
    OVERSIZED = "oversized"
    WRONG_AUTHOR = "wrong_author"  # pushed a batch of another lane
    WRONG_HASH = "wrong_hash"  # answered another digest than the one asked for
    INVALID_BATCH = "invalid_batch"  # the batch's own check failed; the detail says which
    BROKEN_CHAIN = "broken_chain"  # its author signed a batch that does not follow the one before it


@unique
class Dropped(StrEnum):
    """Nobody is to blame."""

    DUPLICATE = "duplicate"  # known already: held, being stored, or waiting
    STALE = "stale"  # its seq was ordered, and this batch is not missing
    UNASKED = "unasked"  # an answer that came after its request was given up
    FORKED = "forked"  # its lane is forked and nobody needs this batch
    TOO_FAR = "too_far"  # more than AHEAD_BATCHES_MAX ahead
    LANE_FULL = "lane_full"  # LANE_BYTES_MAX uncommitted
    AHEAD_FULL = "ahead_full"  # no room for one more behind a gap
    WANTED_FULL = "wanted_full"  # too many batches are missing to remember one more
    GAP_TOO_OFTEN = "gap_too_often"  # asked to go back again at once
