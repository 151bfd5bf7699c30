"""Exits before anything is defined."""

raise SystemExit("no")
