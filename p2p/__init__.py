"""Bytes between peers: knows frames, not protocols."""
