"""A compose file of the project, run under a name of its own.

Two things differ from what a user starts: the project's name, so that a network of the user's is never touched, and the
published ports, which Docker picks. Both `docker compose` and the older `docker-compose` are spoken to.
"""

import json
import re
import secrets
import subprocess
from pathlib import Path

import trio

from consensus.genesis import Genesis
from sequencer.client.client import SequencerClient
from sequencer.keys.genesis_file import load_genesis
from tests.e2e.network import note, until

COMPOSE_FILE = Path(__file__).parents[2] / "docker-compose.yml"
VALIDATORS = tuple(f"validator-{index}" for index in range(4))
PATIENCE_S = 600.0
RPC_PORT = 8645
_PUBLISHED = re.compile(r"127\.0\.0\.1:\d+:(8645|8545)")


def find_compose() -> tuple[str, ...]:
    """The command that there is: the plugin, or else the older one. Fails without a daemon that answers."""
    subprocess.run(["docker", "version"], check=True, stdout=subprocess.DEVNULL)
    plugin = subprocess.run(["docker", "compose", "version"], check=False, capture_output=True)
    return ("docker", "compose") if plugin.returncode == 0 else ("docker-compose",)


def build_image() -> None:
    """Builds the image as `docker-compose up` does when there is none yet."""
    subprocess.run([*find_compose(), "--file", str(COMPOSE_FILE), "build"], check=True)


class Containers:
    """A network of four validators in containers."""

    def __init__(self, directory: Path, source: Path, home: str) -> None:
        """Starts nothing yet. `source`: the compose file; `home`: the home of validator 0 inside its container.

        `directory` gets the compose file as it is run and the chain's genesis.
        """
        self.name = f"sequencer-e2e-{secrets.token_hex(4)}"
        self.genesis_file = directory / "genesis.toml"
        self._home = home
        file = directory / "as-run.yml"
        text, count = _PUBLISHED.subn(r"127.0.0.1::\1", source.read_text())
        assert count in {len(VALIDATORS), len(VALIDATORS) + 1}  # an L1 may be published, too
        file.write_text(text)
        self._command = (
            *find_compose(),
            *("--project-name", self.name, "--project-directory", str(source.parent), "--file", str(file)),
        )

    async def compose(self, *arguments: str) -> str:
        """Runs one command of the project to its end; returns its stdout."""
        note(f"compose {' '.join(arguments)}")
        return await _run(*self._command, *arguments)

    async def up(self) -> Genesis:
        """Starts everything and waits until Docker calls every validator healthy. Returns the chain's genesis."""
        await self.compose("up", "--detach")
        for service in VALIDATORS:
            identity = await self.identity(service)

            async def is_healthy(identity: str = identity) -> bool:
                state = (await _inspect(identity))["State"]
                assert state["Status"] == "running", state
                return bool(state["Health"]["Status"] == "healthy")

            await until(is_healthy, f"{service} is healthy", PATIENCE_S)
        genesis = await self.execute("validator-0", "cat", f"{self._home}/config/genesis.toml")
        self.genesis_file.write_text(genesis)
        return load_genesis(self.genesis_file)

    async def execute(self, service: str, *command: str) -> str:
        """Runs a command in a running container, as its user and in its directory."""
        return await self.compose("exec", "-T", service, *command)

    async def identity(self, service: str) -> str:
        """The container that runs a service now."""
        return (await self.compose("ps", "--quiet", service)).strip()

    async def inspect(self, service: str) -> dict:
        """What Docker knows of a container."""
        return await _inspect(await self.identity(service))

    async def url(self, service: str) -> str:
        """Where the RPC of a validator is published on this machine."""
        return f"http://{(await self.compose('port', service, str(RPC_PORT))).strip()}"

    async def client(self, service: str) -> SequencerClient:
        """A client on this machine that verifies."""
        return SequencerClient(await self.url(service), genesis=load_genesis(self.genesis_file), timeout_s=60.0)

    def end(self) -> None:
        """For the end of a test, however it came: the ends of the logs go to the report, nothing is left."""
        logs = subprocess.run([*self._command, "logs", "--no-color", "--tail=40"], check=False, capture_output=True)
        note(logs.stdout.decode(errors="replace"))
        subprocess.run([*self._command, "down", "--volumes", "--timeout=1"], check=True, capture_output=True)


async def _inspect(identity: str) -> dict:
    (found,) = json.loads(await _run("docker", "inspect", identity))
    return found


async def _run(*command: str) -> str:
    ended = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    assert ended.returncode == 0, f"{command}: {ended.returncode}, {ended.stderr.decode(errors='replace')[-4000:]}"
    return ended.stdout.decode()
