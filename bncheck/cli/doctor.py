"""``bncheck doctor``."""

from __future__ import annotations

import typer

from bncheck.cli.app import app


@app.command(short_help="Tell the versions, and which packages are installed.")
def doctor() -> None:
    """Tell the versions, which packages are installed, and which extra brings those that are not."""
    from bncheck.figures.studio import fonts
    from bncheck.report.text import doctor as report

    typer.echo(report({"Chinese font": fonts.described()}))
