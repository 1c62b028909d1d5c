"""Proofs that a validator broke the rules, and finding them."""
