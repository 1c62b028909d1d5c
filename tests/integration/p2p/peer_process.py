"""A validator in a process of its own: `python -m tests.integration.p2p.peer_process PORT` listens as index 1.

Says on stdout where it listens, and after that how many bytes of batches have arrived whenever a vote comes in.
"""

import sys

import trio

from tests.integration.p2p.nodes import BATCH, NOWHERE, RecordingNode, make_host, start


class CountingNode(RecordingNode):
    def __init__(self) -> None:
        super().__init__(b"from the other process")
        self.batch_bytes = 0

    async def frame_received(self, peer: int, kind: int, body: bytes) -> None:
        if kind == BATCH:
            self.batch_bytes += len(body)
        else:
            say(f"{body.decode()} {self.batch_bytes}")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main(port: int) -> None:
    async with trio.open_nursery() as nursery:
        host = make_host(1, {0: NOWHERE}, CountingNode(), port=port)
        _, listening = await start(nursery, host)
        say(str(listening))


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]))
