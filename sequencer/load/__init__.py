"""Load on a running network, and what clients see of it: for `sequencer bench` and for the benchmarks."""
