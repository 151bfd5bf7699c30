"""The command line: commands to calls, one file for each; no mathematics, and nothing heavy before it is needed."""

from bncheck.cli.running import main, run

__all__ = ["main", "run"]
