"""Runs the `sequencer` command with the stand-in for a node in place of `sequencer start`."""

import sys
from pathlib import Path

from sequencer.cli import children
from sequencer.cli.main import main

if __name__ == "__main__":
    children.NODE_COMMAND = (sys.executable, str(Path(__file__).with_name("fake_node.py")))
    sys.exit(main(sys.argv[1:]))
