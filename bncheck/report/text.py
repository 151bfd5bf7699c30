"""Reports for people, in 80 columns."""

from __future__ import annotations

import io
import platform
from collections.abc import Mapping
from importlib import metadata

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bncheck import __version__
from bncheck.compare import Verdict
from bncheck.mutants import MUTANTS
from bncheck.oracles.symbolic.derivation import SIZES
from bncheck.verify import Counterexample, LayerReport, Report

_COLOURS = {
    Verdict.CORRECT: "green",
    Verdict.WRONG: "bold red",
    Verdict.UNSTABLE: "bold yellow",
    Verdict.CRASHED: "bold red",
    Verdict.INCONCLUSIVE: "cyan",
    Verdict.VACUOUS: "cyan",
}


def verification(report: Report, *, colour: bool = False, width: int = 80) -> str:
    """The report of a campaign."""
    stream = io.StringIO()
    console = Console(
        file=stream,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        highlight=False,
        emoji=False,
        markup=False,
    )
    for layer in report.layers:
        _layer(console, layer)
    if report.counterexample is not None:
        _counterexample(console, report.counterexample)
    console.print(Text.assemble("verdict: ", (report.verdict.value, _COLOURS[report.verdict])))
    return stream.getvalue()


def _layer(console: Console, report: LayerReport) -> None:
    proof, result = report.proof, report.result
    sizes = ", ".join(str(SIZES[letter]) for letter in report.sizes)
    console.print(Text(report.layer, style="bold" if console.is_terminal else ""))
    if proof.failure is None:
        console.print(f"  proved for every {sizes}: chain rule = derivative = closed form")
    else:
        console.print(f"  not proved: {proof.failure.claim} fails for {proof.failure.gradient}")
    conclusive = result.cases - result.vacuous - result.inconclusive
    console.print(
        f"  {result.cases} cases: {conclusive} conclusive, {result.vacuous} vacuous, {result.inconclusive} inconclusive"
    )
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="")
    table.add_column("  oracle or suspect", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for heading in ("cases", "worst error", "of tolerance"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, tally in result.tallies.items():
        table.add_row(
            f"  {name}",
            Text(tally.verdict.value, style=_COLOURS[tally.verdict]),
            str(tally.cases),
            f"{tally.worst_relative_error:.1e}",
            "truth" if name == "ball" else f"{tally.worst_radius_fraction:.3g}",
        )
    console.print(table)
    if result.revealed:
        caught = [name for name, count in result.revealed.items() if count]
        rarest = min(result.revealed, key=result.revealed.__getitem__)
        console.print(
            f"  planted bugs: {len(caught)} of {len(result.revealed)} would have been caught,"
            f" the rarest ({rarest}) in {result.revealed[rarest]} cases"
        )
        for name in result.revealed.keys() - set(caught):
            console.print(f"  not caught: {name}, {MUTANTS[name].words}")
    console.print()


def _counterexample(console: Console, found: Counterexample) -> None:
    comparison = found.comparison
    index = ", ".join(map(str, comparison.index))
    console.print(f"{found.subject}: {found.gradient} is {comparison.verdict} on the smallest case found")
    if found.detail:
        console.print(f"  raised     {found.detail}")
    else:
        console.print(f"  element    {found.gradient}[{index}]")
        console.print(f"  got        {comparison.got!r}")
        console.print(f"  expected   {comparison.expected!r}  (Arb ball arithmetic, 200 bits)")
        console.print(
            f"  error      {comparison.error:.3g}, {comparison.relative_error:.2g} of the gradient's scale,"
            f" {comparison.ulp:.3g} ulp"
        )
        console.print(f"  tolerance  {comparison.tolerance:.3g}, computed: rounding in {_dtype(found)}, any order")
    for name, array in found.arrays.items():
        text = np.array2string(np.asarray(array), separator=", ", threshold=16, max_line_width=60)
        console.print(f"  {name:<10} " + text.replace("\n", "\n" + " " * 13))
    console.print(f"  reproduce  {reproduce(found)}", soft_wrap=True)
    console.print()


def _dtype(found: Counterexample) -> str:
    return str(np.asarray(found.arrays["x"]).dtype)


def reproduce(found: Counterexample) -> str:
    """The command that shows a counterexample again."""
    if found.case.count("/") == 7:
        return f"python -m bncheck verify --layer {found.layer} --case {found.case}"
    return f"python -m bncheck verify --layer {found.layer} --seed {found.seed}"


def doctor(packages: Mapping[str, str]) -> str:
    """Versions, and what is installed; `packages` maps each optional package to what it is for."""
    lines = [
        f"bncheck     {__version__}",
        f"Python      {platform.python_version()} on {platform.platform(terse=True)}",
    ]
    for package, purpose in packages.items():
        try:
            found = metadata.version(package)
        except metadata.PackageNotFoundError:
            found = f"not installed; {purpose}"
        lines.append(f"{package:<11} {found}")
    return "\n".join(lines)
