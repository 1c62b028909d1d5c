"""A development L1 on this machine: anvil, for the devnet and for tests. Nothing that a node needs."""
