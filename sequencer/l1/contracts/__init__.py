"""The L1 contracts: their Vyper sources, the committed artifacts, and the tool that makes one from the other."""
