"""Availability of batches: each validator's batches form a lane; here they are pushed, held, and fetched if missing.

`lanes` is the core's door and its table from event to rule; `lane` is what is known of one author's lane, `fetching`
asks for batches by digest, `pushing` streams our own lane, `gaps` asks an author to go back.
"""
