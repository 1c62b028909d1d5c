"""A node's process: what must hold before it runs, and how it ends.

Responsible for: logs, keys, disk and the key's guard before the first task; the exit code and the one message.
Refuses to do: anything while the node runs.

Invariants:
1. A storage fault or a broken invariant anywhere ends the process with one clear message and code 1. What an operator
   must mend first ends it with code 2, without a traceback.
2. SIGTERM and SIGINT end it with code 0.
"""

import ctypes
import sys

import structlog
import trio

from consensus.errors import BrokenInvariant, KeyUsedElsewhere
from p2p.errors import PortInUse
from sequencer.node.checkpoints import start_from_file
from sequencer.node.config import NodeConfig
from sequencer.node.errors import OtherL1
from sequencer.node.failpoints import Failpoints
from sequencer.node.node import Node
from sequencer.node.own_validator import load_validator
from sequencer.node.recovery import guard_key, open_stores
from sequencer.rpc.errors import ListenFailed
from sequencer.telemetry.logs import configure_logs
from storage.errors import StartRefused, StorageError, StorageFault

EXIT_STOPPED, EXIT_FAULT, EXIT_REFUSED = 0, 1, 2
THREAD_SWITCH_S = 0.001  # a thread that computes gives the event loop its turn this often

KEPT_BYTES = 64 * 1024 * 1024  # freed memory that the process keeps for itself
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # of glibc's mallopt(3)

_log = structlog.get_logger("node")


def run_node(config: NodeConfig) -> int:
    """Runs a validator until it is told to stop. Returns the exit code; what the operator must mend is said on stderr.

    Raises `ConfigError` or `KeysError` for a home that does not fit together.
    """
    configure_logs(config.logging.level, config.logging.format)
    sys.setswitchinterval(THREAD_SWITCH_S)
    _keep_freed_memory()
    validator = load_validator(config)
    failpoints = Failpoints(config.node.failpoints)
    try:
        stores = open_stores(config, validator.genesis)
        try:
            loaded = guard_key(config, validator.genesis, stores, validator.node_key.public_key)
            if config.storage.checkpoint:
                path = config.home / config.storage.checkpoint
                start_from_file(validator.genesis, validator.index, stores, loaded, path)
            trio.run(Node(config, validator, stores, loaded, failpoints).run)
        finally:
            stores.close()
    except BaseException as error:  # noqa: BLE001 - sorted by who has to mend it, and raised again if nobody can
        return _exit_code(_innermost(error))
    return EXIT_STOPPED


def _keep_freed_memory() -> None:
    """Batches come and go by the megabyte: without this each costs hundreds of page faults (glibc alone needs it)."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, KEPT_BYTES // 2)
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_M_TOP_PAD, KEPT_BYTES // 4)


def _innermost(error: BaseException) -> BaseException:
    """The one error in nested groups; of several the first that is ours."""
    while isinstance(error, BaseExceptionGroup):
        known = error.subgroup((StorageError, BrokenInvariant, PortInUse, ListenFailed, OtherL1))
        error = (known or error).exceptions[0]
    return error


def _exit_code(error: BaseException) -> int:
    match error:
        case StartRefused() | PortInUse() | ListenFailed() | OtherL1():
            sys.stderr.write(f"sequencer: {error}\n")
            return EXIT_REFUSED
        case KeyUsedElsewhere():
            _log.critical("key_used_elsewhere", detail=str(error))
            sys.stderr.write(f"sequencer: stopped: {error}\n")
            return EXIT_REFUSED
        case StorageFault() | BrokenInvariant():
            _log.critical("node_stopped_by_fault", fault=type(error).__name__, detail=str(error))
            sys.stderr.write(f"sequencer: stopped: {error}\n")
            return EXIT_FAULT
        case KeyboardInterrupt():
            return EXIT_STOPPED
        case _:
            raise error
