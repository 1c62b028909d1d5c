"""`sequencer version`: what is installed."""

from sequencer.cli.options import JsonOption
from sequencer.cli.output import print_fields, print_json


def version(as_json: JsonOption = False) -> None:
    """Print what is installed."""
    import platform
    from importlib.metadata import version as installed

    from consensus.genesis import GENESIS_VERSION

    fields = {
        "sequencer": installed("shared-sequencer"),
        "genesis_format": GENESIS_VERSION,
        "python": platform.python_version(),
    }
    if as_json:
        print_json(fields)
    else:
        print_fields(fields)
