"""`sequencer start`: run a validator in the foreground."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sequencer.cli.errors import CommandError
from sequencer.cli.options import HomeOption, PresetOption, SetOption, read_settings

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_SIGKILL = 9


def start(
    home: HomeOption,
    preset: PresetOption = None,
    settings: SetOption = None,
    log_level: Annotated[str | None, typer.Option("--log-level", help="debug, info, warning or error.")] = None,
    failpoint: Annotated[
        list[str] | None, typer.Option("--failpoint", metavar="NAME", help="Die at this point; development networks.")
    ] = None,
    parent_pid: Annotated[int | None, typer.Option("--parent-pid", hidden=True)] = None,
) -> None:
    """Run a node until Ctrl-C or SIGTERM."""
    if parent_pid is not None:
        die_with_parent(parent_pid)
    flags: dict[str, Any] = read_settings(preset, settings)
    if log_level is not None:
        flags["logging.level"] = log_level
    if failpoint:
        flags["node.failpoints"] = failpoint
    raise typer.Exit(_run(home, flags))


def _run(home: Path, flags: dict[str, Any]) -> int:
    from sequencer.node.config_loading import load_config

    config = load_config(home, flags)
    from sequencer.node.process import run_node  # after the check: it takes a second to import

    return run_node(config)


def die_with_parent(parent_pid: int) -> None:
    """Has the kernel kill this process once its parent is gone, however that ended. Linux only.

    The parent starts us from its main thread: the kernel watches the thread that forked, not the process.
    """
    if sys.platform == "linux":
        import ctypes

        if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0) != 0:
            raise CommandError("the kernel refused to tie this process to its parent")
    if os.getppid() != parent_pid:
        raise CommandError("the process that started this one has gone")
