"""What stands before a command that is to hear SIGINT, whatever started the tests.

A shell that is not interactive starts background commands deaf to SIGINT, and children inherit that.
"""

import sys

HEARING = (
    sys.executable,
    "-c",
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])",
)
