"""The running node: configuration, and the wiring of the rooms to one another."""
