"""A development L1 in a process of its own, for containers: `python -m sequencer.l1dev run`.

Responsible for: anvil with a state directory, until a signal ends it or it dies.
Refuses to do: put anything on the chain (`sequencer l1 prepare` does).
"""

import signal
from collections.abc import Callable

import trio

from sequencer.l1dev.anvil import find_anvil
from sequencer.l1dev.errors import L1Died
from sequencer.l1dev.running import Anvil, AnvilOptions, start_kept
from sequencer.l1dev.state import StateDirectory

_POLL_S = 0.2


async def serve(state: StateDirectory, host: str, port: int, chain_id: int, say: Callable[[str], None]) -> None:
    """Runs until SIGTERM or SIGINT, then saves. Raises `L1DevError` if anvil cannot be started or dies."""
    options = AnvilOptions(host=host, port=port, chain_id=chain_id, state=state, is_quiet=True)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        anvil = await start_kept(find_anvil(), options, state.directory / "anvil.log")
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(state.keep)
                nursery.start_soon(_notice_end, anvil)
                await anvil.until_ready()
                say(f"an L1 with the chain id {chain_id} listens on port {port}; its state is in {state.directory}")
                async for _ in signals:
                    nursery.cancel_scope.cancel()
                    break
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(anvil.stop)
            state.promote()


async def _notice_end(anvil: Anvil) -> None:
    while anvil.is_running:  # noqa: ASYNC110 (another process's state)
        await trio.sleep(_POLL_S)
    raise L1Died(f"anvil ended with {anvil.process.returncode}; its log is {anvil.log_file}")
