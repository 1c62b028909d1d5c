"""The protocol core and the shared vocabulary: pure, without I/O, clock, randomness or logging."""
