"""What a campaign covers, as a table."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from bncheck.bugs.planting import bugs_of
from bncheck.case import Case
from bncheck.formats import DTYPES
from bncheck.frameworks import FRAMEWORKS
from bncheck.inputs.recipes import REGIMES, Recipe
from bncheck.layers import Layer
from bncheck.oracles.symbolic.derivation import derive
from bncheck.oracles.symbolic.theorems import theorems
from bncheck.report.notations import Unicode
from bncheck.report.text import WIDTH, columns
from bncheck.report.writer import Shown

_ORACLES = ("ball", "symbolic", "graph", "finite_difference", "complex_step")


def coverage(layers: Sequence[Layer]) -> str:
    """For each layer and mode its gradients, theorems and planted bugs; then layouts, dtypes, and so on."""
    rows = [("layer", "gradients of ℓ with respect to", "theorems", "planted bugs")]
    for layer in layers:
        bugs = {name for case in _cases(layer) for name in bugs_of(layer, case)}
        stated = {theorem.name for each in layer.layouts for theorem in theorems(derive(layer, each))}
        named = [Unicode().value(Shown.of(name), []) for name in ("x", *layer.parameters)]
        rows.append((layer.name, " ".join(named), str(len(stated)), str(len(bugs))))
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell + " " * (width - columns(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    listed = {layer.name: [str(layout) for layout in layer.layouts] for layer in layers if layer.primal is None}
    listed |= {"dtypes": list(DTYPES), "regimes": list(REGIMES), "oracles": list(_ORACLES)}
    listed["frameworks, for --against"] = list(FRAMEWORKS)
    for heading, names in listed.items():
        lines += ["", *textwrap.wrap(f"{heading}: {', '.join(names)}", WIDTH, subsequent_indent="  ")]
    return "\n".join(lines) + "\n"


def _cases(layer: Layer) -> Iterator[Case]:
    """Cases that between them have all that a bug may need: far from zero, with every layout and setting."""
    for layout in layer.layouts:
        shape = tuple(range(3, 3 + len(layout.axes)))
        for seed in range(8):
            yield Recipe(layout, shape, regime="large-offset", seed=seed).build(layer)
