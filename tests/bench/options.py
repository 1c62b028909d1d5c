"""The command line of the benchmarks: what each word takes, and the network and load that it means.

Responsible for: the options, with defaults that end in minutes.
Refuses to do: run anything.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.bench import distance, sweeps
from tests.bench.measuring import Load
from tests.bench.networks import Shape

WORDS = ("run", "sweep", "knee", "price", "crash", "marks", "trouble", "catch-up")
EPILOGUE = """\
words (the first argument; run if there is none):
  run              an idle network one transaction at a time, then a load
  sweep VARIABLE   a row per value: rate, size, namespaces, validators
  knee             the highest rate that goes through with final p99 below 1 s
  price            the price of decentralisation: n by one-way delay, on emulated lines (needs root)
  crash            a validator is killed under load and comes back, second by second
  marks            every row of the project's marks, measured against them
  trouble NAME|all overload, a slow peer or disk, hostile clients: bounds, refusals, recovery, receipts
  catch-up         how fast a validator that was away catches up under load

Everything is kept under .bench/, with plots and a page of HTML, and compared with the last run with the same options.
"""
_NOT_COMPARED = ("word", "directory", "profile")


def parser() -> argparse.ArgumentParser:
    """All words take the options of the network and of the load."""
    found = argparse.ArgumentParser(
        prog="make bench ARGS=…", epilog=EPILOGUE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("word", nargs="?", default="run", choices=WORDS, metavar="WORD", help="see below")
    found.add_argument("name", nargs="?", default="", help="of sweep: the variable; of trouble: which, or all")
    network = found.add_argument_group("the network")
    network.add_argument("--validators", type=int, default=4)
    network.add_argument("--namespaces", type=int, default=2)
    network.add_argument("--delay-ms", type=float, default=0.0, help="one way between validators (needs root)")
    network.add_argument("--jitter-ms", type=float, default=0.0, help="up to so much more, by packet")
    network.add_argument("--loss", type=float, default=0.0, help="share of packets that are lost, such as 0.01")
    network.add_argument("--crashed", type=int, default=0, help="validators that are killed before the measurement")
    network.add_argument("--byzantine", type=int, default=0, help="validators that equivocate and vote twice")
    network.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="of every validator")
    network.add_argument("--directory", type=Path, help="where homes are made; a place on the disk to be measured")
    load = found.add_argument_group("the load")
    load.add_argument("--rate", type=float, help="transactions per second, sent when due (run: a closed loop without)")
    load.add_argument("--clients", type=int, default=4, help="per validator, in a closed loop")
    load.add_argument("--seconds", type=float, default=30.0, help="of load, warm-up included")
    load.add_argument("--warm-up", type=float, default=5.0)
    load.add_argument("--items", type=int, default=256, help="transactions per request, as far as they fit")
    load.add_argument("--size", type=int, default=512, help="bytes per transaction")
    load.add_argument("--follow-every", type=int, default=1, help="every so manieth request is followed up to final")
    load.add_argument("--unloaded", type=int, default=100, help="transactions of the part without load")
    special = found.add_argument_group("of single words")
    special.add_argument("--values", type=float, nargs="+", help="sweep: the values")
    special.add_argument("--counts", type=int, nargs="+", default=list(distance.COUNTS), help="price: n")
    special.add_argument("--delays-ms", type=float, nargs="+", default=list(distance.DELAYS_MS), help="price: one way")
    special.add_argument("--pause", action="store_true", help="crash: stop it (SIGSTOP) instead of killing it")
    special.add_argument("--victims", type=int, default=1, help="crash: how many")
    special.add_argument("--quick", action="store_true", help="marks, trouble: short, to see that it works")
    special.add_argument("--catch-up", type=float, metavar="SECONDS", help="away for so long (and the word catch-up)")
    special.add_argument("--profile", action="store_true", help="catch-up: sample the validator that catches up")
    return found


def read(arguments: list[str]) -> argparse.Namespace:
    """Parses; ends the process with a message for what cannot be."""
    reader = parser()
    options = reader.parse_args(arguments)
    if options.catch_up is not None:
        options.word = "catch-up"
    if options.warm_up >= options.seconds:
        reader.error("--warm-up is below --seconds")
    if options.word == "sweep" and options.name not in sweeps.VALUES:
        reader.error(f"sweep what? {', '.join(sweeps.VALUES)}")
    if options.crashed + options.byzantine >= options.validators:
        reader.error("somebody has to be left")
    return options


def compared(options: argparse.Namespace) -> dict[str, Any]:
    """What two runs must have in common to be compared."""
    return {
        name: value for name, value in sorted(vars(options).items()) if name not in _NOT_COMPARED and value is not None
    }


def shape(options: argparse.Namespace) -> Shape:
    """The network that is asked for."""
    from sequencer.cli.options import read_settings

    return Shape(
        validators=options.validators,
        namespaces=options.namespaces,
        delay_ms=options.delay_ms,
        jitter_ms=options.jitter_ms,
        loss=options.loss,
        settings=read_settings(None, options.set),
        liars=options.byzantine,
    )


def load(options: argparse.Namespace, default_rate: float | None = None) -> Load:
    """The load that is asked for."""
    return replace(
        Load(
            seconds=options.seconds,
            warm_up_s=options.warm_up,
            clients=options.clients * (options.validators - options.crashed - options.byzantine),
            items=options.items,
            size=options.size,
            follow_every=options.follow_every,
        ),
        rate=options.rate or default_rate,
    )
