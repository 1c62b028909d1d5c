"""Money on an L1 that gives it away: a development L1 that knows `anvil_setBalance`.

Responsible for: accounts that have enough to post for a long time.
Refuses to do: move money that is worth something: only a development L1 knows the method.
"""

from collections.abc import Sequence

from sequencer.l1.errors import L1Refused
from sequencer.l1.json_rpc import L1Client
from sequencer.l1.shapes import to_hex

BALANCE_WEI = 1_000 * 10**18
BALANCE_LOW_WEI = 100 * 10**18


async def fund(client: L1Client, accounts: Sequence[bytes]) -> list[bytes]:
    """Fills the accounts that are low. Returns those that have nothing and could not be given anything.

    Raises `L1Unreachable`.
    """
    poor = []
    for account in accounts:
        balance_wei = await client.balance(account)
        if balance_wei >= BALANCE_LOW_WEI:
            continue
        try:
            await client.raw("anvil_setBalance", [to_hex(account), hex(BALANCE_WEI)])
        except L1Refused:
            if balance_wei == 0:
                poor.append(account)
    return poor
