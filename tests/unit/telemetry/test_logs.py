"""Log lines: their form, what they never hold, and what libraries may say."""

import errno
import io
import logging
import os

import msgspec
import pytest
import structlog

from sequencer.telemetry.logs import REDACTED, configure_logs


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored_logging():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def stream():
    return io.StringIO()


def lines(stream: io.StringIO) -> list[dict]:
    return [msgspec.json.decode(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_line_where_there_is_no_terminal(stream):
    configure_logs(stream=stream)
    structlog.get_logger().info("block_committed", height=7, block_id=b"\x01\x02")
    (line,) = lines(stream)
    assert line["event"] == "block_committed"
    assert line["level"] == "info"
    assert line["height"] == 7
    assert line["block_id"] == "0x0102"
    assert line["timestamp"].endswith("Z")


def test_a_terminal_gets_text_unless_json_is_asked_for():
    terminal = Terminal()
    configure_logs(stream=terminal)
    structlog.get_logger().info("node_started")
    assert "node_started" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")
    terminal = Terminal()
    configure_logs(form="json", stream=terminal)
    structlog.get_logger().info("node_started")
    assert lines(terminal)[0]["event"] == "node_started"


def test_the_level_holds(stream):
    configure_logs(level="warning", stream=stream)
    structlog.get_logger().info("unheard")
    structlog.get_logger().warning("heard")
    assert [line["event"] for line in lines(stream)] == ["heard"]


def test_secrets_are_never_written(stream):
    configure_logs(stream=stream)
    structlog.get_logger().info(
        "key_loaded", node_secret="5ec7e7", bls_private_key=b"5ec7e7", settings={"admin_token": "5ec7e7", "port": 1}
    )
    assert "5ec7e7" not in stream.getvalue()
    assert b"5ec7e7".hex() not in stream.getvalue()
    (line,) = lines(stream)
    assert line["node_secret"] == REDACTED
    assert line["settings"] == {"admin_token": REDACTED, "port": 1}


def test_long_fields_are_cut(stream):
    configure_logs(stream=stream)
    structlog.get_logger().info("frame_refused", body=bytes(100_000), text="x" * 100_000)
    assert len(stream.getvalue()) < 10_000


def test_an_exception_stays_on_its_line(stream):
    configure_logs(stream=stream)
    try:
        raise ValueError("broken\nin two lines")
    except ValueError:
        structlog.get_logger().exception("request_failed")
    (line,) = lines(stream)
    assert "ValueError" in line["exception"]


def test_libraries_are_heard_from_warning_on_in_the_same_form(stream):
    configure_logs(stream=stream)
    library = logging.getLogger("some.library")
    library.setLevel(logging.DEBUG)
    library.info("chatter")
    library.warning("trouble with %s", "sockets")
    (line,) = lines(stream)
    assert (line["event"], line["library"], line["message"]) == (
        "library_message",
        "some.library",
        "trouble with sockets",
    )
    assert line["level"] == "warning"
    library.setLevel(logging.NOTSET)


class FullDisk(io.StringIO):
    """Takes no line while it is full."""

    full = True

    def write(self, text):
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(text)


def test_a_line_that_cannot_be_written_is_lost_and_stops_nobody():
    stream = FullDisk()
    configure_logs(stream=stream)
    log = structlog.get_logger()
    log.warning("peer_fault", peer=1)
    logging.getLogger("some.library").warning("trouble")
    stream.full = False
    log.info("block_committed", height=7)
    (line,) = lines(stream)
    assert line["event"] == "block_committed"
    stream.close()
    log.info("block_committed", height=8)
