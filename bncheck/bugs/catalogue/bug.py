"""What an entry of the catalogue is: an edit of a layer's derived programs, and what there is to say about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from bncheck.bugs.edits import BACKWARD, FORWARD, SAVED, Edit
from bncheck.bugs.expressions import Expression, Name, exchanged
from bncheck.bugs.programs import Bench, Program, gradient
from bncheck.bugs.roles import Derived, derived
from bncheck.bugs.words import told
from bncheck.case import Array, Case, Gradients, Layout
from bncheck.layers import LAYERS, Layer
from bncheck.tangents import tangent_of

Plant = Callable[[Derived], Iterable[Edit]]
"""The edits that make a layer have a bug: the first is planted, the others are other ways to write the same bug."""


@dataclass(frozen=True)
class Bug:
    """One bug that people really write.

    `plant` gives its edits, none where a layer has no room for it. An `effect` is no edit: it is in what happens to the
    caller's arrays, to the dtype or to a single element. `hides` says when it does not show; `wrong` and `right` are a
    few lines of NumPy each; `seen` names public issues, as repository#number.
    """

    id: str
    words: str
    fix: str
    hides: str
    wrong: str
    right: str
    seen: tuple[str, ...] = ()
    plant: Plant | None = field(default=None, compare=False)
    effect: str = ""

    @property
    def planted(self) -> bool:
        """Whether it is planted; a sort of edit that machines make is only spoken of."""
        return self.plant is not None or self.effect != ""

    def edits(self, layer: Layer, layout: Layout, parameters: tuple[str, ...]) -> tuple[Edit, ...]:
        """The edits that plant it in a layer, the first of which is the usual one; none where there is no room."""
        return _edits(self, layer, layout, parameters)

    def vjp(self, case: Case, layer: Layer = LAYERS["batch_norm"]) -> Gradients:
        """What the layer with this bug returns, and every gradient: a black box like any oracle or suspect.

        It computes in float64 and rounds once, but for a bug that is in the rounding.

        Raises
            LookupError: the layer has no room for the bug.
        """
        parameters = tuple(case.parameters)
        if self.effect in ("", "rounding"):
            edits = self.edits(layer, case.layout, parameters)
            if not edits:
                raise LookupError(f"{layer.name} has no room for {self.id}")
            program = edits[0].program
        else:
            program = derived(layer, case.layout, parameters).closed
        wide = case.widened() if self.effect == "rounding" else case.astype(np.float64)
        answer = _rounded(program.run(wide), case)
        return _affected(answer, case, self.effect)

    def forward(self, case: Case, layer: Layer = LAYERS["batch_norm"]) -> Gradients:
        """What the layer with this bug returns beside gradients."""
        parts = derived(layer, case.layout, tuple(case.parameters))
        edits = self.edits(layer, case.layout, tuple(case.parameters))
        program = edits[0].program if edits else parts.closed
        wide = case.widened() if self.effect == "rounding" else case.astype(np.float64)
        return _rounded(Bench(program, wide).answers(program, layer.returned(program.forward)), case)

    def formulas(self, layer: Layer = LAYERS["batch_norm"], layout: Layout | None = None) -> tuple[str, str]:
        """The formula with the bug, and the right one; nothing where the layer has no room for it.

        >>> from bncheck.bugs.catalogue import BUGS
        >>> BUGS["mean-path-missing"].formulas()
        ('dx = dx̂/√(σ² + ε) + 2·dσ²·(x − μ)/m', 'dx = dx̂/√(σ² + ε) + 2·dσ²·(x − μ)/m + dμ/m')
        """
        layout = layout or layer.layouts[0]
        for edit in self.edits(layer, layout, layer.parameters)[:1]:
            return told(edit, derived(layer, layout, layer.parameters).styles[edit.program.style])
        return "", ""


@lru_cache(maxsize=4096)
def _edits(bug: Bug, layer: Layer, layout: Layout, parameters: tuple[str, ...]) -> tuple[Edit, ...]:
    return tuple(bug.plant(derived(layer, layout, parameters))) if bug.plant else ()


def correct(case: Case, layer: Layer = LAYERS["batch_norm"]) -> Gradients:
    """The same code without a bug: what every planted bug is a small change of."""
    program = derived(layer, case.layout, tuple(case.parameters)).closed
    return _rounded(program.run(case.astype(np.float64)), case)


def _rounded(answer: Gradients, case: Case) -> dict[str, Array]:
    """What was computed in float64 rounded once to the case's dtype, as an oracle answers it."""
    with np.errstate(all="ignore"):
        return {name: np.asarray(value).astype(case.dtype, copy=False) for name, value in answer.items()}


def _affected(answer: dict[str, Array], case: Case, effect: str) -> Gradients:
    if effect == "input":
        np.subtract(case.x, 1, out=case.x)
    elif effect == "state":
        for value in case.state.values():
            np.multiply(value, 0.9, out=value)
    elif effect == "dtype":
        other = np.float32 if case.dtype == np.float64 else np.float64
        answer = {name: value.astype(other) for name, value in answer.items()}
    elif effect == "element":
        name = tangent_of("dx") if tangent_of("dx") in answer else "dx"
        moved = np.array(answer[name])
        with np.errstate(all="ignore"):  # where dx leaves the range of half precision
            moved.flat[0] += 1e-5 * np.abs(moved).max()
        answer = {**answer, name: moved}
    return answer


Names = Mapping[str, Expression]
"""What stands in the place of which name."""


def backward(program: Program, names: Names, *, shown: str = "", steps: Iterable[str] = ()) -> Iterator[Edit]:
    """Names exchanged in the backward pass, or in some of its steps; the first step that changes is shown."""
    chosen = tuple(steps) or tuple(program.backward)
    changed = {label: exchanged(e, names) if label in chosen else e for label, e in program.backward.items()}
    yield from rewritten(program, changed, shown)


def equation(program: Program, label: str, expression: Expression) -> Iterator[Edit]:
    """One equation of the backward pass written otherwise."""
    yield from rewritten(program, {**program.backward, label: expression}, label)


def rewritten(program: Program, changed: Mapping[str, Expression], shown: str = "") -> Iterator[Edit]:
    """A backward pass written otherwise, where it is another."""
    labels = [label for label, expression in changed.items() if expression != program.backward[label]]
    if labels:
        label = shown if shown in labels else labels[0]
        yield Edit(
            "catalogue",
            replace(program, backward=dict(changed)),
            BACKWARD,
            label,
            program.backward[label],
            changed[label],
        )


def forward(
    program: Program, changed: Mapping[str, Expression], *, shown: str = "", own: bool = True
) -> Iterator[Edit]:
    """Some forward steps written otherwise, with the backward pass of that forward, or with the one that was right."""
    labels = [label for label, expression in changed.items() if expression != program.forward[label]]
    if labels:
        label = shown if shown in labels else labels[0]
        steps = {**program.forward, **changed}
        new = program.swept(steps) if own else replace(program, forward=steps, saved=steps)
        yield Edit("catalogue", new, FORWARD, label, program.forward[label], changed[label])


def renamed(program: Program, names: Names, *, steps: Iterable[str] | None = None) -> dict[str, Expression]:
    """The forward steps in which names are exchanged: all, or some."""
    chosen = program.forward if steps is None else tuple(steps)
    return {label: exchanged(program.forward[label], names) for label in chosen}


def recomputed(program: Program, names: Names) -> Iterator[Edit]:
    """Names exchanged in all that the backward pass computes, what it recomputes of the forward pass included."""
    saved = renamed(program, names)
    labels = [label for label, expression in saved.items() if expression != program.forward[label]]
    if labels:
        changed = {label: exchanged(e, names) for label, e in program.backward.items()}
        new = replace(program, saved=saved, backward=changed)
        yield Edit("catalogue", new, SAVED, labels[0], program.forward[labels[0]], saved[labels[0]])


def gradients(labels: Iterable[str], change: Callable[[Expression], Expression]) -> Names:
    """The gradients of some steps, each changed in the same way."""
    return {gradient(label): change(Name(gradient(label))) for label in labels}
