"""Notices that the library is another one than `p2p.libp2p_inside` was written against.

Everything that module relies on is named here: what it calls, and what it subclasses or reads. A failing test after an
upgrade means: read the library's changes to these, then the module, then set the new values.
"""

import hashlib
import importlib
import importlib.metadata
import inspect
import logging

import pytest

from p2p.libp2p_inside import LIBRARY_VERSION, quiet_library

SOURCES = {
    "libp2p.crypto.secp256k1": "f550eea1f44f46ba",
    "libp2p.io.msgio": "2205f7658afce871",
    "libp2p.io.utils": "7b2e957276be92e5",
    "libp2p.protocol_muxer.generic_selector": "25a5c71a3d837945",
    "libp2p.protocol_muxer.multiselect": "35d4c8434c77b837",
    "libp2p.protocol_muxer.multiselect_communicator": "65aba417f306643a",
    "libp2p.security.noise.io": "a2194d3c2695e688",
    "libp2p.security.noise.messages": "5add6ddf05b91315",
    "libp2p.security.noise.patterns": "07410f643eb4a988",
    "libp2p.security.noise.transport": "427f35210f962109",
    "libp2p.security.secure_session": "3c56b3b06f2ec6df",
    "libp2p.security.security_multistream": "d81ff28ddf3a645e",
    "libp2p.stream_muxer.muxer_multistream": "9429027d809f5131",
    "libp2p.transport.upgrader": "aa4c7443797dd7dc",
    "libp2p.utils.varint": "85ae972e779e52ab",
    "noise.connection": "0953d68fdfc8aa84",
    "noise.state": "ad1e4c050d8d6df2",
}


def test_the_version_is_the_pinned_one() -> None:
    assert importlib.metadata.version("libp2p") == LIBRARY_VERSION


@pytest.mark.parametrize("name", SOURCES)
def test_the_source_relied_upon_is_unchanged(name: str) -> None:
    source = inspect.getsource(importlib.import_module(name))
    assert hashlib.sha256(source.encode()).hexdigest()[:16] == SOURCES[name]


def test_the_librarys_log_stays_off_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    quiet_library()
    logging.getLogger("libp2p.security.noise.patterns").error("a stranger failed to shake hands")
    assert capfd.readouterr().err == ""
    assert not logging.getLogger("libp2p.transport").isEnabledFor(logging.ERROR)
