"""Admission, queues per namespace, fair share between them, and the sealing of batches.

The way of a transaction: `admission` lets it in or refuses it with a word, a queue of `queues` holds it, `seal` says
when the next batch is due, `fair_share` takes it out at its namespace's turn, `draft` gives it its place in a batch
and, once that is synced, its receipt. `mempool` is the room's door.
"""
