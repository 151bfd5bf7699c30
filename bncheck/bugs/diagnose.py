"""Which term is wrong: the edits of a layer's derived programs whose answers are those of somebody's code.

First it is said which forward pass this is; then which edit of the backward pass that belongs to it, in all gradients
together. The catalogue's bugs are tried first, since they have names and pages; then every edit in one place, made by
machine; then numbers that are solved for; then two bugs at once. What nothing reproduces is described, not guessed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np

from bncheck.bugs import words
from bncheck.bugs.catalogue import BUGS
from bncheck.bugs.edits import (
    BACKWARD,
    FORWARD,
    SAVED,
    Edit,
    at_one_use,
    forward_holes,
    holes,
    of_backward,
    of_forward,
    recomputed,
    returned,
)
from bncheck.bugs.expressions import ZERO, Name, Reduced, exchanged
from bncheck.bugs.planting import bugs_of
from bncheck.bugs.programs import HOLE, STYLES, Bench, Program, gradient
from bncheck.bugs.readings import Reading, Trial, fitted, match, measured
from bncheck.bugs.roles import Derived, derived
from bncheck.case import Array, Case, Gradients, Vjp
from bncheck.inputs.probes import FAR, probes
from bncheck.layers import Layer
from bncheck.tangents import tangent_of
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
        diagnoses = _Search(layer, near, vjp).diagnoses()
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
    """The id of the first edit of a layer's forward pass that gives some y, nothing where none does.

    >>> from bncheck.layers import LAYERS
    >>> layer = LAYERS["batch_norm"]
    >>> case = probes(layer)[0]
    >>> forward_edit(layer, case, BUGS["eps-outside-sqrt"].vjp(case)["y"])
    'eps-outside-sqrt'
    """
    search = _Search(layer, (Trial(layer, case, {"y": y}),), lambda case: {})
    reading = next(chain(search.of_catalogue(), search.of_one_place()), None)
    return reading.edits[0][0] if reading else ""


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


class _Search:
    """Finds the fewest edits that together answer as somebody's code does."""

    def __init__(self, layer: Layer, trials: tuple[Trial, ...], vjp: Vjp) -> None:
        self.layer, self.trials, self.vjp = layer, trials, vjp
        case = trials[0].case
        self.derived = derived(layer, case.layout, tuple(case.parameters))
        self.bugs = {name: bug for trial in trials for name, bug in bugs_of(layer, trial.case).items()}
        self.bugs = {name: bug for name, bug in BUGS.items() if name in self.bugs}
        answered = [name for name in trials[0].right if name in trials[0].answer]
        self.gradients = tuple(name for name in answered if name in case.gradient_names)
        self.values = tuple(name for name in answered if name not in case.gradient_names)
        self.failing = tuple(dict.fromkeys(name for trial in trials for name in trial.failing))
        self.coarse = trials[0].dtype.itemsize < 4  # too few digits to tell one edit from the next

    def diagnoses(self) -> tuple[Diagnosis, ...]:
        """What explains all that fails: the forward pass first, then the backward pass that belongs to it."""
        wrong = [name for name in self.values if name in self.failing]
        alone = [_one_element(self.trials, name) for name in self.failing]
        if all(alone):
            return tuple(diagnosis for diagnosis in alone if diagnosis)[:1]
        if not wrong:
            styles = self.derived.styles.items()  # two spell the forward pass otherwise, and it is right
            right = {style: [program] for style, program in styles if style not in ("totals", "apart")}
            return self.told(*self.backward(right))
        told, several = self._told(self.gradients), list[tuple[int, Reading]]()
        for forward in self.forwards(wrong):
            most = max(len(match(self.trials, base, base, told)[0]) for base in self._every(self.bases(forward)))
            several.append((most, forward))
            if most == len(told):
                break
        if not several:
            return self.told((), tuple(wrong))
        several.sort(key=lambda pair: -pair[0])
        results = [
            self.backward(self.bases(forward), forward)
            for _, forward in several[: 1 if several[0][0] == len(told) else 4]
        ]
        return self.told(*min(results, key=lambda result: self._cost(*result)))

    @staticmethod
    def _every(bases: Mapping[str, Sequence[Program]]) -> Iterator[Program]:
        for programs in bases.values():
            yield from programs

    @staticmethod
    def _cost(readings: Sequence[Reading], left: Sequence[str]) -> tuple[int, int, bool]:
        edits = {id(edit) for reading in readings for _, edit in reading.edits}
        return len(left), len(edits), not all(reading.known for reading in readings)

    # which forward pass this is

    def forwards(self, wrong: Sequence[str]) -> Iterator[Reading]:
        """Edits of the forward pass that give what is returned beside gradients, the simplest first."""
        yield from self.of_catalogue()
        several = list(self.of_one_place())
        yield from sorted(several, key=lambda reading: words.simplicity(reading.edits), reverse=True)
        if not several:
            yield from self._of_numbers(wrong)
            yield from self._of_two()

    def _value(self, base: Program, edits: tuple[tuple[str, Edit], ...]) -> Reading | None:
        program = edits[-1][1].program
        explained, distance = match(self.trials, base, program, self.values)
        if explained >= set(self._told(self.values)):
            return Reading(program, edits, explained, distance)
        return None

    def _told(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if any(name in trial.telling for trial in self.trials)]

    def of_catalogue(self) -> Iterator[Reading]:
        for name, edit in self.planted(self.derived, FORWARD):
            reading = self._value(self.derived.styles[edit.program.style], ((name, edit),))
            if reading:
                yield reading

    def of_one_place(self) -> Iterator[Reading]:
        if self.coarse:
            return
        for base in self._spellings():
            for edit in of_forward(base):
                reading = self._value(base, ((edit.kind, edit),))
                if reading:
                    yield reading

    def _spellings(self) -> list[Program]:
        """A program for each way in which the forward steps are written."""
        return [program for style, program in self.derived.styles.items() if style in STYLES]

    def _of_numbers(self, wrong: Sequence[str]) -> Iterator[Reading]:
        """Another ε than the one given; then any number before any part of the forward pass."""
        if self.coarse:
            return
        stages = self.derived.stages
        other = {n: exchanged(e, {"eps": Name(HOLE)}) for n, e in stages.forward.items()}
        whole = replace(stages, forward=other, saved=other)
        label = next((n for n, e in stages.forward.items() if "eps" in e.names), "")
        if label:
            edit = Edit("eps-ignored", whole, FORWARD, label, Name("eps"), Name(HOLE))
            reading = self._fitted_eps(stages, edit, wrong[0])
            if reading is not None:
                yield reading
                return
        for edit in forward_holes(stages):
            filled = fitted(self.trials, stages, edit, wrong[0], linear=False)
            if filled is not None:
                reading = self._value(stages, ((edit.kind, filled),))
                if reading is not None:
                    yield reading
                    return

    def _fitted_eps(self, base: Program, edit: Edit, name: str) -> Reading | None:
        """Another ε: a multiple of the one given, or a constant in its place."""
        filled = fitted(self.trials, base, edit, name, linear=False)
        if filled is None:
            return None
        kept = () if edit.side == FORWARD else self.values
        names = self.values if edit.side == FORWARD else self.gradients
        explained, distance = match(self.trials, base, filled.program, names, kept=kept)
        return Reading(filled.program, ((edit.kind, filled),), explained, distance) if explained else None

    def _of_two(self) -> Iterator[Reading]:
        """Two bugs of the catalogue in the forward pass."""
        if self.coarse:
            return
        for name, edit in self.planted(self.derived, FORWARD):
            both = Derived({**self.derived.styles, edit.program.style: edit.program})
            for other, second in self.planted(both, FORWARD, after=name):
                if second.program.style == edit.program.style:
                    base = self.derived.styles[edit.program.style]
                    reading = self._value(base, ((name, edit), (other, second)))
                    if reading:
                        yield reading

    def bases(self, forward: Reading) -> dict[str, list[Program]]:
        """The backward passes that may go with a forward pass, of each style that has these steps.

        That of the new forward; the one that reads what was saved; the one that computes what it needs anew, rightly.
        """
        steps = forward.program.forward
        before = self.derived.styles[forward.program.style].forward
        changed = {n: e for n, e in steps.items() if before.get(n) != e}
        bases: dict[str, list[Program]] = {"own": [forward.program.swept(steps)]}
        for style, right in self.derived.styles.items():
            if right.forward.keys() <= steps.keys():
                own = steps
            elif changed.keys() <= right.forward.keys():
                own = {**right.forward, **changed}
            else:
                continue
            saved = replace(right, forward=own, saved=own)
            bases[style] = [saved, replace(saved, saved=right.saved)]
        return bases

    # which backward pass

    def backward(
        self, bases: Mapping[str, Sequence[Program]], forward: Reading | None = None
    ) -> tuple[tuple[Reading, ...], tuple[str, ...]]:
        """The readings that together explain every gradient, and the names that none does."""
        told = self._told(self.gradients)
        first: list[tuple[int, Program, frozenset[str]]] = []
        for programs in bases.values():
            for base in programs:
                explained = (
                    match(self.trials, base, base, told)[0] if forward else frozenset(set(told) - set(self.failing))
                )
                first.append((len(explained), base, explained))
        most = max((count for count, *_ in first), default=0)
        best = _distinct([(base, explained) for count, base, explained in first if count == most])
        best.sort(key=lambda pair: words.plainness(pair[0].style))
        head = () if forward is None else self._with_forward(forward, best)
        if most == len(told):
            return head, ()
        readings: list[Reading] = []
        wanted = set(told) - best[0][1]
        for stage in (self._catalogued, self._edited, self._solved, self._used):
            few = best if stage in (self._catalogued, self._edited) else best[:_FEW]
            for base, explained in few if forward is None else few[:3]:
                if set(told) - explained == wanted:
                    readings += stage(base, tuple(sorted(wanted)), tuple(sorted(explained)))
                    chosen, left = _cover(readings, wanted)
                    if not left and len(chosen) == 1:
                        return (*head, *chosen), ()
            chosen, left = _cover(readings, wanted)
            if not left:
                return (*head, *chosen), ()
            if self.coarse:
                break
        if not self.coarse:
            readings += self._doubled([base for base, _ in best[:_FEW]], left, best[0][1])
            chosen, left = _cover(readings, wanted)
        return (*head, *chosen), tuple(name for name in told if name in left)

    def _with_forward(self, forward: Reading, best: Sequence[tuple[Program, frozenset[str]]]) -> tuple[Reading, ...]:
        """What a forward reading explains together with the backward pass that fits it."""
        base, explained = best[0]
        (swept,) = self.bases(forward)["own"]  # where that fits, too, the bug is in the forward pass alone
        own = len(match(self.trials, swept, swept, self._told(self.gradients))[0]) == len(self._told(self.gradients))
        edits = forward.edits
        if not own and explained >= set(self._told(self.gradients)):
            edits = tuple((self._forward_only(name, base), edit) for name, edit in edits)
        program = replace(base, forward=forward.program.forward)
        return (Reading(program, edits, forward.explains | explained, forward.residual),)

    def _forward_only(self, name: str, base: Program) -> str:
        """The name of a forward bug whose backward pass is that of the right forward, where there is one."""
        others = {"eps-outside-sqrt": "eps-outside-in-forward-only", "ddof-forward": "ddof-in-forward-only"}
        return others.get(name, name)

    def planted(self, parts: Derived, side: str, after: str = "") -> Iterator[tuple[str, Edit]]:
        """The edits of the catalogue on one side, of the bugs that come after one."""
        names = list(self.bugs)
        for name in names[names.index(after) + 1 if after else 0 :]:
            bug = self.bugs[name]
            if bug.plant and not bug.effect:
                for edit in bug.plant(parts):
                    if (edit.side == FORWARD) == (side == FORWARD):
                        yield name, edit

    def _parts(self, base: Program) -> Derived:
        """Where bugs are planted in a program: one with a forward pass of its own stands for every style."""
        right = self.derived.styles
        own = base.forward is not right[base.style].forward
        return Derived(dict.fromkeys(right, base) if own else {**right, base.style: base})

    def _catalogued(self, base: Program, wanted: Sequence[str], kept: Sequence[str]) -> Iterator[Reading]:
        parts = self._parts(base)
        sides = (BACKWARD,) if self.values else (BACKWARD, FORWARD)  # no y: nothing is known of the forward pass
        for name, edit in chain.from_iterable(self.planted(parts, side) for side in sides):
            if edit.program.style == base.style:
                yield from self._read(base, ((name, edit),), wanted, kept)

    def _used(self, base: Program, wanted: Sequence[str], kept: Sequence[str]) -> Iterator[Reading]:
        for edit in at_one_use(base):
            yield from self._read(base, ((edit.kind, edit),), wanted, kept)

    def _edited(self, base: Program, wanted: Sequence[str], kept: Sequence[str]) -> Iterator[Reading]:
        right = self.derived.styles.get(base.style)
        for edit in _of_right(base) if base is right else _of_backward(base):
            yield from self._read(base, ((edit.kind, edit),), wanted, kept)

    def _solved(self, base: Program, wanted: Sequence[str], kept: Sequence[str]) -> Iterator[Reading]:
        """Numbers that are solved for: before a term, in place of m, in place of ε."""
        for name in wanted:
            for edit in holes(base):
                filled = fitted(self.trials, base, edit, name, linear=True)
                if filled is not None:
                    yield from self._read(base, ((edit.kind, filled),), wanted, kept)
        hole = Name(HOLE)
        for kind, label, changes in (("count-wrong", "m", {"m": hole}),):
            backward = {n: exchanged(e, changes) for n, e in base.backward.items()}
            steps = [n for n in backward if backward[n] != base.backward[n]]
            if steps:
                edit = Edit(kind, replace(base, backward=backward), BACKWARD, steps[-1], Name(label), hole)
                yield from self._searched(base, edit, wanted, kept)
        yield from self._other_eps(base, wanted, kept)

    def _other_eps(self, base: Program, wanted: Sequence[str], kept: Sequence[str]) -> Iterator[Reading]:
        """Another ε in the backward pass: wherever it is computed anew, or in the root that is used and not in x̂."""
        change = {"eps": Name(HOLE)}
        saved = {n: exchanged(e, change) for n, e in base.saved.items()}
        backward = {n: exchanged(e, change) for n, e in base.backward.items()}
        labels = [n for n in saved if saved[n] != base.saved[n]]
        for changed in (replace(base, saved=saved, backward=backward), replace(base, backward=backward)):
            if labels:
                edit = Edit("eps-mismatch", changed, SAVED, labels[0], Name("eps"), Name(HOLE))
                yield from self._searched(base, edit, wanted, kept)

    def _searched(self, base: Program, edit: Edit, wanted: Sequence[str], kept: Sequence[str]) -> Iterator[Reading]:
        for name in wanted:
            filled = fitted(self.trials, base, edit, name, linear=False)
            if filled is not None:
                yield from self._read(base, ((edit.kind, filled),), wanted, kept)

    def _doubled(self, bases: Sequence[Program], left: Iterable[str], kept: Iterable[str]) -> Iterator[Reading]:
        """Two bugs of the catalogue in one gradient."""
        wanted, kept = tuple(left), tuple(kept)
        for base in bases:
            for name, edit in self.planted(self._parts(base), BACKWARD):
                if edit.program.style == base.style:
                    both = self._parts(edit.program)
                    for other, second in self.planted(both, BACKWARD, after=name):
                        if second.program.style == base.style:
                            yield from self._read(base, ((name, edit), (other, second)), wanted, kept)

    def _read(
        self, base: Program, edits: tuple[tuple[str, Edit], ...], wanted: Sequence[str], kept: Sequence[str]
    ) -> Iterator[Reading]:
        program = edits[-1][1].program
        explained, distance = match(self.trials, base, program, wanted, kept=kept)
        if explained:
            yield Reading(program, edits, explained, distance)

    # in words

    def told(self, readings: Sequence[Reading], left: Sequence[str]) -> tuple[Diagnosis, ...]:
        """The diagnoses that readings are, and a description of every name that fails and that none explains."""
        diagnoses: dict[tuple[str, int], Diagnosis] = {}
        for reading in readings:
            for name, edit in reading.edits:
                diagnosis = self.named(name, edit, reading)
                key = name, id(reading.program)
                if key in diagnoses:
                    explains = (*diagnoses[key].explains, *diagnosis.explains)
                    diagnosis = replace(diagnoses[key], explains=explains)
                diagnoses[key] = diagnosis
        unknown = [_described(self.layer, self.trials, self.vjp, name) for name in left if name in self.failing]
        order = [*self.values, *self.gradients]
        return tuple(sorted((*diagnoses.values(), *unknown), key=lambda bug: order.index(bug.gradient)))

    def named(self, name: str, edit: Edit, reading: Reading) -> Diagnosis:
        """One edit of a reading in words."""
        right = self.derived.styles[edit.program.style]
        computed, expected = words.told(edit, right)
        explained = [n for n in self.failing if n in reading.explains]
        bug = BUGS[name]
        explanation = words.said(name, edit, right) or bug.words
        if edit.kind in _NUMBERED:
            explanation = f"{bug.words}: {self._numbers(edit)}"
        return Diagnosis(
            name,
            explained[0] if explained else self.failing[0],
            reading.residual,
            explanation,
            computed,
            expected,
            bug.fix,
            words.glossary(right, computed + expected),
            tuple(n for n in (*self.values, *self.gradients) if n in reading.explains),
            reading.program,
        )

    def _numbers(self, edit: Edit) -> str:
        """What was found in the place of ε or of m, trial by trial."""
        label = "m" if edit.kind == "count-wrong" else "eps"
        told = []
        for trial in self.trials:
            given = trial.case.count if label == "m" else trial.case.eps
            told.append(f"{measured(edit.now, trial.case):.6g} where {'m is ' if label == 'm' else ''}{given:g}")
        tail = "" if label == "m" else " was given"
        return " and ".join(dict.fromkeys(told)) + tail


_NUMBERED = ("eps-ignored", "eps-mismatch", "count-wrong")
"""The edits in which a number was solved for that tells more than the formula."""


def _of_backward(base: Program) -> Iterator[Edit]:
    """Every edit of a backward pass in one place, and of what it recomputes of the forward pass."""
    yield from of_backward(base)
    yield from returned(base)
    for edit in of_forward(base):
        yield recomputed(edit, base)


@lru_cache(maxsize=64)
def _of_right(base: Program) -> tuple[Edit, ...]:
    """The same of a right program, which every target is held against."""
    return tuple(_of_backward(base))


def _distinct(bases: Sequence[tuple[Program, frozenset[str]]]) -> list[tuple[Program, frozenset[str]]]:
    """The programs whose backward passes differ, in what they compute or in what they read."""
    distinct: list[tuple[Program, frozenset[str]]] = []
    for base, explained in bases:
        if all((base.backward, base.saved) != (other.backward, other.saved) for other, _ in distinct):
            distinct.append((base, explained))
    return distinct


def _cover(readings: Sequence[Reading], wanted: Iterable[str]) -> tuple[tuple[Reading, ...], tuple[str, ...]]:
    """The fewest readings that explain these names, known ones before others, and the names that are left."""
    left, chosen = set(wanted), list[Reading]()
    while left:
        best = max(
            readings,
            key=lambda reading: (len(reading.explains & left), reading.known, *words.simplicity(reading.edits)),
            default=None,
        )
        if best is None or not best.explains & left:
            break
        chosen.append(best)
        left -= best.explains
    return tuple(chosen), tuple(left)


_FEW = 4
"""In how many styles the long searches are made, the plainest ones."""

COMPARE = "Compare it with the source that bncheck derive --format numpy prints."


def _right_formula(layer: Layer, case: Case, name: str) -> str:
    parts = derived(layer, case.layout, tuple(case.parameters))
    label = gradient(name.removeprefix("d").removesuffix(tangent_of(""))) if name in case.gradient_names else name
    program = parts.closed
    steps = program.backward if name in case.gradient_names else program.forward
    return words.Wording(program).equation(label, steps[label]) if label in steps else ""


def _described(layer: Layer, trials: Sequence[Trial], vjp: Vjp, name: str) -> Diagnosis:
    """What can be said of an answer that nothing explains: by how much it is off, what is nearest, what moves that."""
    first = next(trial for trial in trials if name in trial.failing)
    error = _relative_error(first, name)
    parts = [f"{name} is off by {error:.2g} of its largest element, and no single edit of the formulas gives that"]
    if first.answer[name].shape != first.right[name].shape:
        parts = [f"{name} has shape {first.answer[name].shape}, expected {first.right[name].shape}"]
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
    label = gradient(name.removeprefix("d").removesuffix(tangent_of("")))
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
