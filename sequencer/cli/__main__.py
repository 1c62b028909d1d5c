"""`python -m sequencer.cli`: the same as the `sequencer` command, for an interpreter that has no such script."""

from sequencer.cli.main import run

if __name__ == "__main__":
    run()
