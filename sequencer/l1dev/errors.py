"""What can go wrong with a development L1. Each message says what to do."""


class L1DevError(Exception):
    """The development L1 cannot be installed, started or prepared."""


class AnvilMissing(L1DevError):
    """There is no anvil on this machine where it would be looked for."""


class InstallFailed(L1DevError):
    """Anvil could not be installed."""


class PortTaken(L1DevError):
    """Something else listens where anvil was to listen."""


class L1Died(L1DevError):
    """The anvil process ended, or never answered."""
