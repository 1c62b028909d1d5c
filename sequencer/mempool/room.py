"""How long a queue may be, given what waits in all the others.

Responsible for: dividing the memory of all queues, in bytes or in transactions, into what they share and what each has
for itself.
Refuses to do: count what waits (`admission.py`), or what bounds a queue for itself (its terms, the operator's bounds).

Invariants:
1. Of what is shared a queue gets at most as much as is left over for all others.
2. Its own part a queue gets whatever the others hold. Halves of halves come to nothing after some thirty floods: a
   namespace without a part of its own would then find no room at all, whatever share of the batches it was granted.
3. All queues together stay within `most`.
"""

from dataclasses import dataclass

OWN_PART = 4  # a quarter is for the queues' own parts: 64 KiB of 256 MiB for each of a thousand namespaces


@dataclass(frozen=True, slots=True)
class Room:
    """See the module's invariants. `shared` and `own` in one unit, `own` for each queue."""

    shared: int
    own: int

    @staticmethod
    def of(most: int, queue_count: int) -> "Room":
        """Of `most` for so many queues; 0: nobody knows how many, and none has a part of its own."""
        own = most // (OWN_PART * queue_count) if queue_count else 0
        return Room(most - own * queue_count, own)

    def queue_max(self, others: int) -> int:
        """How much may wait in a queue while `others` wait in the others."""
        return max(self.own, (self.shared - others) // 2)
