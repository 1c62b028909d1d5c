"""Benchmarks: scripts that measure real processes, print percentiles and keep raw data. Never timed assertions."""
