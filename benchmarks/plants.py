"""What is planted where: every bug of the catalogue in the first layer that it is a bug of, and correct code beside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from bncheck.bugs.catalogue import BUGS
from bncheck.bugs.catalogue.bug import Bug, correct
from bncheck.bugs.edits import FORWARD
from bncheck.bugs.planting import bugs_of
from bncheck.case import Case, Gradients, Layout
from bncheck.inputs.probes import probes
from bncheck.inputs.recipes import completed
from bncheck.layers import LAYERS, Layer
from bncheck.oracles import graph, symbolic

EPS = 1e-5

OFFSET = 1e4
"""The mean of x where a bug is one far from zero only: there E[x²] − E[x]² loses half of float64's digits."""

Shape = tuple[int, ...]

SHAPES: tuple[Shape, ...] = ((8, 4), (32, 16), (4, 3, 8, 8), (64, 64))

HOMES = (
    "batch_norm",
    "layer_norm",
    "batch_norm_running",
    "batch_norm_eval",
    "batch_norm_statistics",
    "batch_norm_jvp",
)
"""Where bugs are planted; a bug goes to the first of them that it is one of."""

STYLES: Mapping[str, Callable[[Layer, Case], Gradients]] = {
    "stage by stage": lambda layer, case: correct(case, layer),
    "closed form": symbolic.vjp,
    "node by node": graph.vjp,
}
"""Correct code, written in three ways."""

GROUPS = ("backward", "forward", "running, eval", "second order", "effects", "")
"""What is planted, in groups that one reading of a gradient can or cannot see; the last is correct code.

A backward bug is not the gradient of its own forward; a forward bug is another forward with the gradient of that.
"""


@dataclass(frozen=True)
class Plant:
    """A bug of the catalogue, or a style of correct code, in a layer."""

    name: str
    home: str

    @property
    def layer(self) -> Layer:
        """The layer that it is planted in."""
        return LAYERS[self.home]

    @property
    def mutant(self) -> Bug | None:
        """The bug, or None where there is none."""
        return BUGS.get(self.name)

    @property
    def group(self) -> str:
        """The name of its group in `GROUPS`."""
        mutant = self.mutant
        if mutant is None:
            return ""
        if mutant.effect in ("input", "state", "dtype"):
            return "effects"
        if self.layer.primal:
            return "second order"
        if self.layer.state:
            return "running, eval"
        layout = self.layer.layouts[0]
        edits = mutant.edits(self.layer, layout, self.layer.parameters)
        program = edits[0].program if edits and edits[0].side == FORWARD else None
        own = program is not None and program.swept(program.forward).backward == program.backward
        return "forward" if own else "backward"

    def forward(self, case: Case) -> Gradients:
        """What it returns beside gradients."""
        bug = self.mutant or BUGS["zero"]  # the forward pass of that one is right
        return bug.forward(case, self.layer)

    def vjp(self, case: Case) -> Gradients:
        """What it returns, and every gradient."""
        return self.mutant.vjp(case, self.layer) if self.mutant else STYLES[self.name](self.layer, case)

    def case(self, shape: Shape, seed: int) -> Case:
        """One random input; far from zero for what is a bug only there."""
        rng = np.random.default_rng(seed)
        rounding = self.mutant is not None and self.mutant.effect == "rounding"
        x = rng.standard_normal(shape) + (OFFSET if rounding else 0)
        case = completed(x, self.layer, self.layout(shape), rng, EPS, "score")
        if "ddof" in case.settings:
            case = replace(case, settings={**case.settings, "ddof": int(self.name == "running-var-biased")})
        return case

    def probes(self, shape: Shape, seed: int) -> tuple[Case, ...]:
        """The cases on which a diagnosis is asked for, at this shape."""
        return probes(self.layer, self.layout(shape), [shape, shape], seed=seed)

    def layout(self, shape: Shape) -> Layout:
        """The layout in which the layer takes such an array."""
        return next(layout for layout in self.layer.layouts if len(layout.axes) == len(shape))

    def fits(self, shape: Shape) -> bool:
        """Whether it is a bug, or can be said to be none, at this shape."""
        if self.mutant is None or self.group == "effects":
            return self.mutant is None or self.mutant.effect != "state" or bool(self.layer.state)
        return self.name in bugs_of(self.layer, self.case(shape, 0))

    def fits_autograd(self, shape: Shape) -> bool:
        """Whether a framework's autograd takes it as it is: it guards the caller's arrays, dtypes and shapes itself."""
        if self.group == "effects":
            return False
        case = self.case(shape, 0)
        found = self.vjp(case)
        return all(found[name].shape == case.shape_of(name) for name in case.gradient_names)


def planted(shapes: tuple[Shape, ...]) -> tuple[Plant, ...]:
    """Every bug that is one at some of these shapes, and every style of correct code in every layer."""
    found = []
    for name in BUGS:
        homes = (Plant(name, home) for home in HOMES)
        found += [plant for plant in homes if any(map(plant.fits, shapes))][:1]
    return (*found, *(Plant(style, home) for home in HOMES for style in STYLES))
