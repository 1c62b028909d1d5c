"""Runs schedules of the simulator: many, one again, or one made shorter.

    python -m tests.simulation campaign [--first N] [--seeds N] [--jobs N] [--record FILE] [--seconds N]
    python -m tests.simulation replay SEED [--only kind:number …] [--trace]
    python -m tests.simulation minimise SEED

`campaign` shows a progress line, prints for every failure the command that replays it, and ends with 1 if there was
one. With `--record` it goes on where the file says it stopped, for as long as the sources are the same.
"""

import argparse
import sys

from tests.simulation.campaign_runner import Campaigner
from tests.simulation.minimise import minimise
from tests.simulation.schedule import Options
from tests.simulation.schedule_outcome import replay_command, run_schedule


def _campaign(options: argparse.Namespace) -> int:
    return Campaigner(options.first, options.seeds, options.jobs, options.record, options.seconds).run()


def _options(options: argparse.Namespace) -> Options:
    return Options(only=tuple(options.only) if options.only is not None else None, duration_ms=options.duration_ms)


def _replay(options: argparse.Namespace) -> int:
    outcome = run_schedule(options.seed, _options(options), show=sys.stdout.write if options.trace else None)
    sys.stdout.write(outcome.describe() + "\n")
    return 1 if outcome.failure else 0


def _minimise(options: argparse.Namespace) -> int:
    found = minimise(options.seed, lambda line: sys.stderr.write(line + "\n"))
    if found is None:
        sys.stdout.write(f"seed {options.seed} does not fail\n")
        return 0
    sys.stdout.write(f"{found.outcome.describe()}\n{replay_command(options.seed, found.options)}\n")
    return 1


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Schedules of the simulator")
    commands = parser.add_subparsers(required=True)
    campaign = commands.add_parser("campaign", help="run many schedules")
    campaign.add_argument("--first", type=int, default=0, help="the first seed")
    campaign.add_argument("--seeds", type=int, default=1_000, help="how many")
    campaign.add_argument("--jobs", type=int, default=None, help="processes; all cores by default")
    campaign.add_argument("--record", default=None, help="a file to go on from, and to write the sums to")
    campaign.add_argument("--seconds", type=float, default=None, help="stop after this time")
    campaign.set_defaults(run=_campaign)
    replay = commands.add_parser("replay", help="run one schedule again")
    replay.add_argument("seed", type=int)
    replay.add_argument("--only", nargs="*", default=None, metavar="KIND:NUMBER", help="the faults that may strike")
    replay.add_argument("--duration-ms", type=float, default=None, help="when the faults end")
    replay.add_argument("--trace", action="store_true", help="print what every node does")
    replay.set_defaults(run=_replay)
    shorter = commands.add_parser("minimise", help="find fewer faults that still make it fail")
    shorter.add_argument("seed", type=int)
    shorter.set_defaults(run=_minimise)
    options = parser.parse_args()
    return options.run(options)


if __name__ == "__main__":
    sys.exit(main())
