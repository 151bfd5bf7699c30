"""Which term is wrong: the edits of a layer's derived programs whose answers are those of somebody's code.

What the search finds is told in the steps that a person writes, with what is right beside it; what nothing reproduces
is described, not guessed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np

from bncheck.bugs import words
from bncheck.bugs.catalogue import BUGS
from bncheck.bugs.edits import (
    Edit,
)
from bncheck.bugs.expressions import ZERO, Name, Reduced, exchanged
from bncheck.bugs.programs import HOLE, Bench, Program, step_of
from bncheck.bugs.readings import Trial, measured, searched
from bncheck.bugs.roles import derived
from bncheck.bugs.search import Search
from bncheck.case import Array, Case, Gradients, Vjp
from bncheck.inputs.probes import FAR, probes
from bncheck.layers import Layer
from bncheck.tolerances.verdicts import Verdict, wrong_or_unstable

UNKNOWN = "unknown"
"""The id of what no edit reproduces."""


@dataclass(frozen=True)
class Diagnosis:
    """One bug: by its name in the catalogue, by the sort of edit that it is, or described where nothing reproduces it.

    `gradient` is the first of the returned names in which it shows; `residual` how far the answer is from the edited
    program's, in units of the tolerance around that; `where` says what the signs in the formulas stand for. `explains`
    are the names whose values `program` reproduces; both are empty where no formula is wrong, or none is known.
    """

    id: str
    gradient: str
    residual: float
    explanation: str
    formula_got: str
    formula_expected: str
    fix: str
    where: tuple[str, ...] = ()
    explains: tuple[str, ...] = field(default=(), repr=False)
    program: Program | None = field(default=None, compare=False, repr=False)


def diagnose(layer: Layer, vjp: Vjp, cases: Sequence[Case] | None = None) -> tuple[Diagnosis, ...]:
    """What is wrong with an implementation of a layer, the forward pass first; nothing where it is right.

    `cases` are those on which it is asked, `probes` by default. A case on which it raises tells nothing: where it
    raises on all, nothing is found.

    >>> from bncheck.layers import LAYERS
    >>> [bug.id for bug in diagnose(LAYERS["batch_norm"], BUGS["mean-path-missing"].vjp)]
    ['mean-path-missing']
    """
    trials, effects = [], dict[str, str]()
    for case in probes(layer) if cases is None else cases:
        try:
            answer, effect = _asked(vjp, case)
        except Exception:  # what it cannot be asked tells nothing
            continue
        effects |= effect
        trials.append(Trial(layer, case, answer))
    near = tuple(trial for trial in trials if trial.case.origin != FAR)
    failing = [trial for trial in trials if trial.failing]
    if any(trial in near and _is_wrong(vjp, trial) for trial in failing):
        diagnoses = _found(layer, near, vjp)
    else:
        diagnoses = tuple(_unstable(layer, trial) for trial in failing[-1:])
    return (*diagnoses, *(named_effect(name, gradient) for name, gradient in effects.items()))


def reproduction(layer: Layer, diagnoses: Sequence[Diagnosis]) -> Vjp | None:
    """The layer with just these bugs in it, as a function of a case; None where one of them has no formula.

    A case must have the layout in which the diagnosis was made.

    >>> from bncheck.layers import LAYERS
    >>> layer, wrong = LAYERS["batch_norm"], BUGS["ddof"].vjp
    >>> again = reproduction(layer, diagnose(layer, wrong))
    >>> case = probes(layer, seed=7)[0]
    >>> bool(np.allclose(again(case)["dx"], wrong(case)["dx"]))
    True
    """
    told = [diagnosis for diagnosis in diagnoses if not (diagnosis.id in BUGS and BUGS[diagnosis.id].effect)]
    if any(diagnosis.program is None for diagnosis in told):
        return None

    def vjp(case: Case) -> Gradients:
        answer = dict(derived(layer, case.layout, tuple(case.parameters)).closed.run(case))
        for diagnosis in told:
            assert diagnosis.program is not None
            answer |= {n: v for n, v in diagnosis.program.run(case).items() if n in diagnosis.explains}
        return answer

    return vjp


def forward_edit(layer: Layer, case: Case, y: Array) -> str:
    """The id of the first edit of a layer's forward pass that gives some y but for ε, nothing where none does.

    >>> from bncheck.layers import LAYERS
    >>> layer = LAYERS["batch_norm"]
    >>> case = probes(layer)[0]
    >>> forward_edit(layer, case, BUGS["eps-outside-sqrt"].vjp(case)["y"])
    'eps-outside-sqrt'
    """
    trial = Trial(layer, case, {"y": y}, glance=_ROUGHLY)
    edits = Search(layer, (trial,)).forward_edits()
    return next((name for base, name, edit in edits if trial.near(base, edit.program, ["y"])), "")


def own_eps(layer: Layer, case: Case, y: Array) -> float | None:
    """The ε that some y shows where the case's is not used: in the layer's forward pass, or in one with one edit in it.

    >>> from bncheck.layers import LAYERS
    >>> from bncheck.bugs.catalogue.bug import correct
    >>> layer = LAYERS["batch_norm"]
    >>> case = replace(probes(layer)[0], eps=1e-5)
    >>> own_eps(layer, case, -correct(replace(case, eps=1e-6))["y"])
    1e-06
    """
    trial = Trial(layer, case, {"y": y}, glance=_ROUGHLY)
    search = Search(layer, (trial,))
    hole = {"eps": Name(HOLE)}
    right = search.derived.equations
    for base, program in chain([(right, right)], ((base, edit.program) for base, _, edit in search.forward_edits())):
        if trial.near(base, program, ["y"]):
            forward = {name: exchanged(expression, hole) for name, expression in program.forward.items()}
            value = searched(trial, base, replace(program, forward=forward), "y")
            if value is not None and value > 0:
                return float(f"{value:.6g}")  # as it is written in code
    return None


def named_effect(name: str, gradient: str) -> Diagnosis:
    """A bug that is in no formula, by its name."""
    bug = BUGS[name]
    return Diagnosis(name, gradient, 0.0, bug.words, "", "", bug.fix)


def _is_wrong(vjp: Vjp, trial: Trial) -> bool:
    """Whether something is wrong here, and not only unstable."""
    verdicts = (wrong_or_unstable(vjp, trial.layer, trial.case, name) for name in trial.failing)
    return any(verdict is Verdict.WRONG for verdict in verdicts)


def _asked(vjp: Vjp, case: Case) -> tuple[Gradients, dict[str, str]]:
    """The answer, and which effects on the caller's arrays it had beside, with where they show."""
    handed = replace(case)
    arrays = {"x": handed.x, "dy": handed.dy, **handed.parameters, **handed.state}
    for array in arrays.values():
        array.setflags(write=True)
    answer = {name: np.array(value) for name, value in vjp(handed).items()}
    before = {"x": case.x, "dy": case.dy, **case.parameters, **case.state}
    changed = [name for name, array in arrays.items() if not np.array_equal(array, before[name])]
    effects = {"state-changed" if name in case.state else "mutates-input": name for name in reversed(changed)}
    other = [name for name, value in answer.items() if value.dtype != case.dtype]
    return answer, effects | ({"dtype-changed": other[0]} if other else {})


def _found(layer: Layer, trials: tuple[Trial, ...], vjp: Vjp) -> tuple[Diagnosis, ...]:
    """What explains all that fails, and a description of every name that fails and that nothing explains."""
    search = Search(layer, trials)
    alone = [_one_element(trials, name) for name in search.failing]
    if all(alone):
        return tuple(diagnosis for diagnosis in alone if diagnosis)[:1]
    readings, left = search.found()
    order = [*search.values, *search.gradients]
    diagnoses = [_described(layer, trials, vjp, name) for name in left if name in search.failing]
    for reading in readings:
        for name, edit in dict(reading.edits).items():
            diagnosis = replace(
                _told(name, edit, search.derived.styles[edit.program.style], trials),
                gradient=next((n for n in search.failing if n in reading.explains), search.failing[0]),
                residual=reading.residual,
                explains=tuple(n for n in order if n in reading.explains),
                program=reading.program,
            )
            diagnoses.append(diagnosis)
    return tuple(sorted(diagnoses, key=lambda bug: order.index(bug.gradient)))


def _told(name: str, edit: Edit, right: Program, trials: Sequence[Trial]) -> Diagnosis:
    """One edit in words, not yet with where it shows."""
    computed, expected = words.told(edit, right)
    bug = BUGS[name]
    explanation = words.said(name, edit, right) or bug.words
    if edit.kind in _NUMBERED:
        explanation = f"{bug.words}: {_numbers(edit, trials)}"
    glossary = words.glossary(right, computed + expected)
    return Diagnosis(name, "", 0.0, explanation, computed, expected, bug.fix, glossary)


def _numbers(edit: Edit, trials: Sequence[Trial]) -> str:
    """What was found in the place of ε or of m, trial by trial."""
    label = "m" if edit.kind == "count-wrong" else "eps"
    told = []
    for trial in trials:
        given = trial.case.count if label == "m" else trial.case.eps
        told.append(f"{measured(edit.now, trial.case):.6g} where {'m is ' if label == 'm' else ''}{given:g}")
    tail = "" if label == "m" else " was given"
    return " and ".join(dict.fromkeys(told)) + tail


_NUMBERED = ("eps-ignored", "eps-mismatch", "count-wrong")
"""The edits in which a number was solved for that tells more than the formula."""


_ROUGHLY = 1e-3
"""How near, of the largest element, y is to another whose ε is another, where both are small."""

COMPARE = "Compare it with the source that bncheck derive --format numpy prints."


def _right_formula(layer: Layer, case: Case, name: str) -> str:
    parts = derived(layer, case.layout, tuple(case.parameters))
    label = step_of(name) if name in case.gradient_names else name
    program = parts.closed
    steps = program.backward if name in case.gradient_names else program.forward
    return words.Wording(program).equation(label, steps[label]) if label in steps else ""


def _described(layer: Layer, trials: Sequence[Trial], vjp: Vjp, name: str) -> Diagnosis:
    """What can be said of an answer that nothing explains: by how much it is off, what is nearest, what moves that."""
    first = next(trial for trial in trials if name in trial.failing)
    error = _relative_error(first, name)
    parts = [f"{name} is off by {error:.2g} of its largest element, and no single edit of the formulas gives that"]
    if first.answer[name].shape != first.right[name].shape:
        parts = [f"{name} has shape {first.shapes[name]}, expected {first.right[name].shape}"]
    elif not math.isfinite(error):
        parts = [f"{name} is not finite"]
    else:
        parts += [*_nearest(layer, first, name), *_moved(layer, first, vjp, name, error)]
        sizes = [(trial.case.count, trial.case.x.size // trial.case.count, trial) for trial in trials]
        told = [f"{_relative_error(trial, name):.2g} at m = {m} in {groups} groups" for m, groups, trial in sizes]
        parts.append(f"the error is {' and '.join(told)}")
    right = _right_formula(layer, first.case, name)
    return Diagnosis(UNKNOWN, name, math.inf, "; ".join(parts), "", right, COMPARE)


def _nearest(layer: Layer, trial: Trial, name: str) -> Iterator[str]:
    """The sum of the terms of the right formula, each with a weight, that is nearest to a gradient."""
    program = derived(layer, trial.case.layout, tuple(trial.case.parameters)).equations
    label = step_of(name)
    whole = program.backward.get(label)
    terms = getattr(whole, "terms", ())
    if len(terms) < 2:
        return
    columns = []
    for term in terms:
        alone = replace(program, backward={**program.backward, label: term})
        column = trial.bench(program).answers(alone, (name,))[name]
        columns.append((column + np.zeros_like(trial.answer[name], dtype=np.float64)).ravel())
    matrix, answer = np.stack(columns, axis=1), trial.answer[name].astype(np.float64).ravel()
    weights, *_ = np.linalg.lstsq(matrix, answer, rcond=None)
    left = float(np.linalg.norm(answer - matrix @ weights) / (np.linalg.norm(answer) or 1))
    wording = words.Wording(program)
    nearest = " + ".join(f"{w:.3g} × {wording.text(t)}" for w, t in zip(weights, terms, strict=True))
    yield f"the nearest sum of its terms is {nearest}, which leaves {left:.2g} of it"


def _one_element(trials: Sequence[Trial], name: str) -> Diagnosis | None:
    """That a single element is off, where on every trial all others are right."""
    places = []
    for trial in (trial for trial in trials if name in trial.failing):
        answer, right = trial.answer[name], trial.right[name]
        if answer.shape != right.shape:
            return None
        with np.errstate(all="ignore"):
            off = ~(np.abs(answer - right.midpoint) <= right.radius)
        if off.sum() != 1 or off.size < 4:
            return None
        places.append(f"{name}[{', '.join(str(int(k)) for k in np.argwhere(off)[0])}]")
    bug = BUGS["one-element"]
    error = _relative_error(next(trial for trial in trials if name in trial.failing), name)
    told = f"one element of {name} is off, {places[0]}, by {error:.2g} of the largest; all others are right"
    return Diagnosis(bug.id, name, 0.0, told, "", "", bug.fix) if places else None


def _relative_error(trial: Trial, name: str) -> float:
    answer, right = trial.answer[name], trial.right[name].midpoint
    if answer.shape != right.shape:
        return math.inf
    scale = np.abs(right).max()
    return float(np.abs(answer - right).max() / scale) if scale else math.inf


def _moved(layer: Layer, trial: Trial, vjp: Vjp, name: str, error: float) -> Iterator[str]:
    """How the error changes as γ, ε and dy do, one at a time."""
    case = trial.case
    larger: dict[str, dict[str, Any]] = {
        "γ doubled": {"parameters": {n: 2 * a if n == "gamma" else a for n, a in case.parameters.items()}},
        "ε 16 times as large": {"eps": 16 * case.eps},
        "dy doubled": {"dy": 2 * case.dy},
    }
    if "gamma" not in case.parameters:
        del larger["γ doubled"]
    for change, changed in larger.items():
        moved = replace(case, **changed)
        try:
            ratio = _relative_error(Trial(layer, moved, _asked(vjp, moved)[0]), name) / error
        except Exception:  # it need not take this case
            continue
        yield f"{'unchanged' if abs(ratio - 1) < 1e-6 else f'{ratio:.2g} times that'} with {change}"


def _unstable(layer: Layer, trial: Trial) -> Diagnosis:
    """What is right but far from zero: a one-pass variance where it is one, else described."""
    name = trial.failing[0]
    error = _relative_error(trial, name)
    where = f"{name} is off by {error:.2g}"
    where += " where the mean is 1000 times the width" if trial.case.origin == FAR else " in low precision alone"
    if _is_one_pass(trial):
        bug = BUGS["one-pass-variance"]
        computed, right = bug.formulas(layer, trial.case.layout)
        program = derived(layer, trial.case.layout, tuple(trial.case.parameters)).closed
        glossary = words.glossary(program, computed + right)
        return Diagnosis(bug.id, name, 0.0, f"{bug.words}: {where}", computed, right, bug.fix, glossary)
    told = f"{where}: a sum cancels, no formula is wrong"
    return Diagnosis(UNKNOWN, name, math.inf, told, "", _right_formula(layer, trial.case, name), COMPARE)


def _is_one_pass(trial: Trial) -> bool:
    """Whether y is right but for one factor in each group, as far off as the rounding of a mean of squares explains."""
    case = trial.case
    parts = derived(trial.layer, case.layout, tuple(case.parameters))
    program, spread = parts.stages, parts.spread
    square = program.forward[spread[0]] if len(spread) == 1 else None
    if "y" not in trial.answer or trial.layer.primal or not isinstance(square, Reduced) or not parts.normalised:
        return False
    exact = case.astype(np.float64)
    values = Bench(program, exact).values(program)
    bare = replace(program, forward={**program.forward, "y": exchanged(program.forward["y"], {parts.normalised: ZERO})})
    shift = Bench(bare, exact).answers(bare, ("y",))["y"]
    axes, var, eps = case.layout.reduced_axes, values[spread[0]], case.eps
    answer: Array = trial.answer["y"] - shift
    pure = Bench(program, exact).answers(program, ("y",))["y"] - shift
    with np.errstate(all="ignore"):
        factor = (answer * pure).sum(axis=axes, keepdims=True) / (pure * pure).sum(axis=axes, keepdims=True)
        rest = np.abs(answer - factor * pure)
        spoiled = (var + eps) / (factor * factor) - eps - var
        mean_square = np.mean(exact.x * exact.x, axis=axes, keepdims=True)
    allowed = trial.right["y"].radius * np.maximum(1, np.abs(factor))
    cancelled = np.abs(spoiled) <= 4 * trial.format.roundoff * case.count * mean_square
    lost = np.isnan(answer).any(axis=axes, keepdims=True) | cancelled
    spoils = not (np.abs(factor - 1) <= 100 * trial.format.roundoff).all()  # by more than two passes would
    return bool(spoils and ((rest <= 4 * allowed) | np.isnan(rest)).all() and lost.all())
