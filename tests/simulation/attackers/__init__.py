"""Attackers with names: each is one habit of a Byzantine validator. `roster.py` lists them."""
