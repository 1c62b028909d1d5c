"""Networks to measure: real validators as processes, if wished on hosts of their own with long lines between them.

Responsible for: `Shape`, and starting and ending what it describes.
Refuses to do: measure.
"""

import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from consensus.namespace_terms import NamespaceTerms
from tests.e2e.namespaces import Hosts, reason_to_skip
from tests.e2e.network import COMMAND, Network, Node
from tests.e2e.packet_switch import Line

FIRST_NAMESPACE = 1001
_LIAR = "tests.e2e.byzantine_validator"
_SETTLE_S = 2.0  # after all are ready: what starting cost is over


@dataclass(frozen=True)
class Shape:
    """A network. Delays are one way; with any of delay, jitter, loss or `on_hosts` each validator has its own host."""

    validators: int = 4
    namespaces: int = 2
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    on_hosts: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    commands: Mapping[int, Sequence[str]] = field(default_factory=dict)  # in place of `sequencer`, by validator
    terms: Mapping[int, NamespaceTerms] = field(default_factory=dict)  # of namespaces, where not the defaults
    liars: int = 0  # the last so many equivocate as leaders and vote twice; nothing is sent to them

    @property
    def line(self) -> Line:
        """Between validators."""
        return Line(delay_s=self.delay_ms / 1e3, jitter_s=self.jitter_ms / 1e3, loss=self.loss)

    @property
    def needs_hosts(self) -> bool:
        """Whether the loopback link will not do."""
        return self.on_hosts or self.line != Line()

    def all_settings(self) -> dict[str, Any]:
        """As validators outside of a development network have it; a view must outlast the way there and back."""
        found: dict[str, Any] = {"node.tx_index": "own"}
        if self.delay_ms:
            found["consensus.view_timeout_ms"] = 1_000 + int(10 * (self.delay_ms + self.jitter_ms))
        return {**found, **self.settings}


@dataclass
class Running:
    """A network whose validators are ready."""

    shape: Shape
    network: Network
    hosts: Hosts | None
    directory: Path

    @property
    def nodes(self) -> list[Node]:
        """Those that run."""
        return [node for node in self.network.nodes if node.is_running]

    @property
    def urls(self) -> list[str]:
        """Of those that run and do not lie."""
        honest = self.shape.validators - self.shape.liars
        return [node.url for node in self.nodes if node.index < honest]

    @property
    def namespaces(self) -> list[int]:
        """All of them."""
        return [int(entry.id) for entry in self.network.chain.namespaces]


class CannotMeasure(Exception):
    """What this machine lacks."""


@asynccontextmanager
async def running(shape: Shape, directory: Path | None = None) -> AsyncIterator[Running]:
    """The network, ready; nothing of it is left afterwards. Raises `CannotMeasure`."""
    hosts: Hosts | None = None
    if shape.needs_hosts:
        reason = reason_to_skip()
        if reason is not None:
            raise CannotMeasure(reason)
        hosts = Hosts(shape.validators)
    try:
        with tempfile.TemporaryDirectory(prefix="sequencer-bench-", dir=directory) as folder:
            network = make(shape, Path(folder) / "net", hosts)
            try:
                network.start()
                await network.until_ready()
                if hosts is not None:
                    hosts.set_all(shape.line)
                await trio.sleep(_SETTLE_S)
                yield Running(shape, network, hosts, Path(folder))
                await network.stop()
            finally:
                for node in network.nodes:
                    if node.is_running:
                        node.resume()
                        node.kill()
    finally:
        if hosts is not None:
            hosts.close()


def make(shape: Shape, directory: Path, hosts: Hosts | None) -> Network:
    """The homes; nothing runs yet."""
    network = Network(
        directory,
        shape.validators,
        settings=shape.all_settings(),
        namespaces=[(FIRST_NAMESPACE + place, f"rollup-{place}") for place in range(shape.namespaces)],
        terms=shape.terms,
        hosts=() if hosts is None else hosts.addresses,
    )
    for node in network.nodes:
        command = shape.commands.get(node.index, COMMAND)
        if node.index >= shape.validators - shape.liars:
            command = wrapped(_LIAR)
        node.command = command if hosts is None else hosts.command_in(node.index, command)
    return network


def wrapped(module: str) -> Sequence[str]:
    """A validator started through a module of the tests."""
    return (sys.executable, "-m", module)
