"""What this machine can do at most, measured for a second or two: disk and loopback link."""

import os
import socket
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

CHUNK = os.urandom(1024 * 1024)
LASTS_S = 1.5


@dataclass(frozen=True)
class MachineSpeed:
    """In MB/s; a chunk is 1 MiB."""

    disk_synced: float  # written one chunk after the other, each followed by fdatasync
    link: float  # one TCP connection over loopback, no encryption


def measure_machine(directory: Path) -> MachineSpeed:
    """Measures the disk of `directory` and the link."""
    return MachineSpeed(_disk(directory), _link())


def _disk(directory: Path) -> float:
    with tempfile.TemporaryFile(dir=directory) as file:
        began, written = time.perf_counter(), 0
        while time.perf_counter() < began + LASTS_S:
            file.write(CHUNK)
            file.flush()
            os.fdatasync(file.fileno())
            written += len(CHUNK)
        return written / 1e6 / (time.perf_counter() - began)


def _link() -> float:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def pour() -> None:
            with socket.create_connection(listener.getsockname()) as connection:
                ends = time.perf_counter() + LASTS_S
                while time.perf_counter() < ends:
                    connection.sendall(CHUNK)

        thread = threading.Thread(target=pour)
        thread.start()
        began, received = time.perf_counter(), 0
        accepted, _ = listener.accept()
        with accepted:
            while data := accepted.recv(1024 * 1024):
                received += len(data)
        thread.join()
        return received / 1e6 / (time.perf_counter() - began)
