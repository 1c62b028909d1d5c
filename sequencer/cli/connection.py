"""How a command reaches a node: which address, which chain, and one client for one question.

Responsible for: the address (from `--url`, else from the configuration in `--home`), the genesis to verify with, and
running a question.
Refuses to do: know methods or shapes (`sequencer/client`).

Invariants:
1. With `--home` the client knows the genesis and verifies; with `--url` only if it is told the chain.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sequencer.cli.errors import UsageFault

if TYPE_CHECKING:
    from consensus.genesis import Genesis
    from sequencer.client.client import SequencerClient

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Node:
    """The node that is meant, and what is known of its chain."""

    url: str
    genesis: "Genesis | None" = None
    chain_id: bytes | None = None


def find_node(url: str | None, home: Path) -> Node:
    """The node at `url`, or else the one of `home`. Raises `UsageFault`, `ConfigError` or `GenesisFileError`."""
    if url is not None:
        if not url.startswith(("http://", "https://")):
            raise UsageFault(f"--url {url}: an address starts with http:// or https://")
        return Node(url)
    from sequencer.keys.genesis_file import load_genesis
    from sequencer.node.config import config_file_path
    from sequencer.node.config_loading import load_config

    if not config_file_path(home).exists():
        raise UsageFault(f"which node? There is none in {home}; name one with --url, or its directory with --home")
    config = load_config(home)
    if config.rpc.port == 0:
        raise UsageFault(
            f"the node in {home} picks its RPC port when it starts; its log says which: give it with --url"
        )
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.rpc.host, config.rpc.host)  # noqa: S104 (not listened on)
    address = f"[{host}]:{config.rpc.port}" if ":" in host else f"{host}:{config.rpc.port}"
    return Node(f"http://{address}", load_genesis(config.genesis_file) if config.genesis_file.exists() else None)


def ask(node: Node, question: Callable[["SequencerClient"], Awaitable[T]], also: Sequence[str] = ()) -> T:
    """Runs `question` with a client of `node`, and of other nodes of its chain after it. Raises `ClientError`."""
    import trio

    from sequencer.client.client import SequencerClient

    async def run() -> T:
        async with SequencerClient([node.url, *also], genesis=node.genesis, chain_id=node.chain_id) as client:
            return await question(client)

    return trio.run(run)
