"""`sequencer init`: a home with keys and an annotated configuration."""

from pathlib import Path
from typing import Annotated

import typer

from sequencer.cli.errors import UsageFault
from sequencer.cli.options import HomeOption, PresetOption, SetOption, read_settings
from sequencer.cli.output import say


def init(
    home: HomeOption,
    genesis: Annotated[Path | None, typer.Option("--genesis", help="The chain's genesis file, to copy in.")] = None,
    preset: PresetOption = None,
    settings: SetOption = None,
) -> None:
    """Make a home with keys and configuration.

    Makes the keys that are missing, config/config.toml and, if a genesis is given, config/genesis.toml.
    """
    from sequencer.cli.homes import write_home
    from sequencer.keys.genesis_file import load_genesis
    from sequencer.node.config import config_file_path

    if config_file_path(home).exists():
        raise UsageFault(f"{config_file_path(home)} exists already; it is not overwritten")
    chain = None if genesis is None else load_genesis(genesis)
    write_home(home, read_settings(preset, settings), chain)
    say(f"made {home}")
    if chain is None:
        say("Next: send the output of `sequencer keys show --json` to whoever makes the genesis, and put the genesis")
        say(f"into {home / 'config' / 'genesis.toml'}.")
    say("Then: list the other validators under [p2p] peers, and run `sequencer config check`.")
