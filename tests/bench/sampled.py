"""Runs the command with a thread that looks 200 times a second at what every thread does.

    python -m tests.bench.sampled OUT.json start --home …

OUT.json: by thread, how often a function was running (`own`) or on the stack (`total`). A thread that waits in a lock,
a selector or the disk is seen there, too.
"""

import json
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType

PERIOD_S = 0.005


def _name(frame: FrameType) -> str:
    code = frame.f_code
    return f"{'/'.join(Path(code.co_filename).parts[-2:])}:{code.co_qualname}"


class Sampler:
    """Counts until the process ends."""

    def __init__(self) -> None:
        self.own: dict[str, Counter[str]] = {}
        self.total: dict[str, Counter[str]] = {}
        self.ended = threading.Event()

    def look(self, me: int) -> None:
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        for ident, frame in sys._current_frames().items():
            if ident == me:
                continue
            name = names.get(ident, "?").split("(")[0].split(" from ")[0].strip()
            stack: list[str] = []
            at: FrameType | None = frame
            while at is not None:
                stack.append(_name(at))
                at = at.f_back
            self.own.setdefault(name, Counter())[stack[0]] += 1
            self.total.setdefault(name, Counter()).update(set(stack))

    def run(self) -> None:
        me = threading.get_ident()
        while not self.ended.wait(PERIOD_S):
            self.look(me)

    def save(self, path: Path) -> None:
        tables = {"own": self.own, "total": self.total}
        found = {
            kind: {name: counts.most_common(60) for name, counts in table.items()} for kind, table in tables.items()
        }
        path.write_text(json.dumps(found, indent=1))


def main() -> int:
    from sequencer.cli.main import main as run_command

    out, arguments = Path(sys.argv[1]), sys.argv[2:]
    sampler = Sampler()
    thread = threading.Thread(target=sampler.run, name="sampler")
    thread.start()
    try:
        return run_command(arguments)
    finally:
        sampler.ended.set()
        thread.join()
        sampler.save(out)


if __name__ == "__main__":
    sys.exit(main())
