"""The replica: `step(event, now) -> effects`, a pipelined two-phase HotStuff that re-proposes the highest tip."""
