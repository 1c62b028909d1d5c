"""From executed blocks to commits on the L1: turns, packing, shares of certificates, and the poster's rules."""
