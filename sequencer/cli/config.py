"""`sequencer config`: show what is in force and why, check a home, print the annotated default."""

from typing import Annotated

import typer

from sequencer.cli.options import HomeOption, JsonOption, PresetOption, SetOption, read_settings
from sequencer.cli.output import print_json, print_text, say

app = typer.Typer(help="The configuration of a node.", no_args_is_help=True, rich_markup_mode=None)


@app.command("show")
def show(
    home: HomeOption,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False,
    preset: PresetOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print every option with the value in force."""
    from sequencer.node.config_file import effective_values, render_effective
    from sequencer.node.config_loading import load_with_origins

    loaded = load_with_origins(home, read_settings(preset, settings))
    if as_json:
        values = effective_values(loaded.config)
        print_json({"home": str(home), "config": values, "origins": dict(loaded.origins)} if origin else values)
    else:
        print_text(render_effective(loaded.config, loaded.origins if origin else None).rstrip())


@app.command("check")
def check(home: HomeOption, preset: PresetOption = None, settings: SetOption = None) -> None:
    """Check a home as `start` would: configuration, genesis and keys, and that they fit together."""
    from sequencer.node.config_loading import load_config
    from sequencer.node.own_validator import load_validator

    own = load_validator(load_config(home, read_settings(preset, settings)))
    say(f"{home} is ready to start as validator {own.index}")


@app.command("default")
def default(preset: PresetOption = None) -> None:
    """Print the annotated default configuration."""
    from sequencer.node.config_file import render_annotated

    print_text(render_annotated(read_settings(preset, None)).rstrip())
