"""What a command raises to end itself with a message and an exit code, without a traceback."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of every command."""

    SUCCESS = 0
    FAILURE = 1  # the request failed, or the node is down
    USAGE = 2  # the command line or the configuration has to be changed
    SYNCING = 3  # `status` only: the node is up and not ready


class CommandError(Exception):
    """The command cannot do what it was asked; `code` says whose turn it is."""

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILURE) -> None:
        super().__init__(message)
        self.code = code


class UsageFault(CommandError):
    """The operator has to change the command line, a file or the environment; the message says what."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitCode.USAGE)
