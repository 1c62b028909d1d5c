"""Signatures over executed blocks, and the certificates they add up to."""
