"""The validator node: cores that decide, and shells that talk to clients, peers, disks and the L1."""
