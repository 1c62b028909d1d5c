"""Runs a program that dies with the process that started it: `python tied.py PARENT_PID PROGRAM ARGUMENT…`.

Responsible for: tying a program that has no option for that, such as anvil, to its parent.
Refuses to do: anything else; it imports nothing of the project, so that it starts quickly.

Invariants:
1. On Linux the kernel ends the program with SIGTERM once the thread that started it is gone, so that it can still save
   its state. It is started from a thread that lives as long as its process, which is the main thread.
"""

import os
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_SIGTERM = 15


def run_tied(parent_pid: int, command: list[str]) -> None:
    """Becomes the command. Returns only if that is impossible."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 (only where there is such a call)

        if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, _SIGTERM, 0, 0, 0) != 0:
            sys.exit("the kernel refused to tie this process to its parent")
    if os.getppid() != parent_pid:
        sys.exit("the process that started this one has gone")
    try:
        os.execv(command[0], command)  # noqa: S606 (no shell is wanted)
    except OSError as error:
        sys.exit(f"{command[0]} cannot be run: {error.strerror}")


if __name__ == "__main__":
    run_tied(int(sys.argv[1]), sys.argv[2:])
