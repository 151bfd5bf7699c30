"""bncheck's command, begun as a user begins it in a terminal."""

import sys

_HEARING = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.executable, sys.argv[1:])"
)


def interruptible(*arguments: str) -> list[str]:
    """The command line of ``bncheck ARGUMENTS`` that hears Ctrl-C, which in the background of a shell it would not.

    What begins it does the same without forking Python itself, against which JAX warns.
    """
    return [sys.executable, "-c", _HEARING, sys.executable, "-m", "bncheck", *arguments]
