"""What a quorum of lane reports determines: the cut, the arrival order and the block time."""
