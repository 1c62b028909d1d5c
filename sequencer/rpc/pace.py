"""How fast what a client sends is worked on: so many a second, and as many at once; beyond that later."""

import trio


class Pace:
    """One client's. The first `per_second` are taken at once."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._left = per_second
        self._at_s = trio.current_time()

    async def take(self) -> None:
        """Returns when the next one may be worked on."""
        now_s = trio.current_time()
        self._left = min(self._per_second, self._left + (now_s - self._at_s) * self._per_second)
        self._at_s = now_s
        self._left -= 1
        if self._left < 0:
            await trio.sleep(-self._left / self._per_second)
