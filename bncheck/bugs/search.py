"""The search for the edits of a layer's derived programs that together answer as somebody's code does.

First which forward pass this is; then which edit of the backward pass that belongs to it, in all gradients together.
The catalogue's bugs are tried first, since they have names and pages; then every edit in one place, made by machine;
then numbers that are solved for; then two bugs at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from itertools import chain

from bncheck.bugs import words
from bncheck.bugs.catalogue import BUGS
from bncheck.bugs.edits import (
    BACKWARD,
    FORWARD,
    SAVED,
    Edit,
    at_once,
    at_one_use,
    forward_holes,
    holes,
    misread,
    of_backward,
    of_forward,
    recomputed,
    returned,
)
from bncheck.bugs.expressions import Name, exchanged
from bncheck.bugs.planting import bugs_of
from bncheck.bugs.programs import HOLE, STYLES, Program, step_of
from bncheck.bugs.readings import Reading, Trial, fitted, match, near
from bncheck.bugs.roles import Derived, derived
from bncheck.layers import Layer

Found = tuple[tuple[Reading, ...], tuple[str, ...]]
"""The readings that together explain what fails, and the names that none does."""

_FORWARDS = 4
"""How many forward passes are followed into the backward pass where none explains it all."""


class Search:
    """Finds the fewest edits that together answer as somebody's code does."""

    def __init__(self, layer: Layer, trials: tuple[Trial, ...]) -> None:
        self.layer, self.trials = layer, trials
        case = trials[0].case
        self.derived = derived(layer, case.layout, tuple(case.parameters))
        planted = {name for trial in trials for name in bugs_of(layer, trial.case)}
        self.plants = {n: bug.plant for n, bug in BUGS.items() if n in planted and bug.plant and not bug.effect}
        answered = [name for name in trials[0].right if name in trials[0].answer]
        self.gradients = tuple(name for name in answered if name in case.gradient_names)
        self.values = tuple(name for name in answered if name not in case.gradient_names)
        self.failing = tuple(dict.fromkeys(name for trial in trials for name in trial.failing))
        self.coarse = trials[0].dtype.itemsize < 4  # too few digits to tell one edit from the next

    def found(self) -> Found:
        """What explains all that fails: the forward pass first, then the backward pass that belongs to it."""
        wrong = [name for name in self.values if name in self.failing]
        if not wrong:
            styles = self.derived.styles.items()  # two spell the forward pass otherwise, and it is right
            return self.backward([program for style, program in styles if style not in ("totals", "apart")])
        told = self._told(self.gradients)
        several: list[tuple[int, Reading, list[Program]]] = []
        for forward in self.forwards(wrong) if set(wrong) <= set(self._told(wrong)) else ():
            bases = self.bases(forward)
            most = max(len(near(self.trials, base, base, told)) for base in bases)
            several.append((most, forward, bases))
            if most == len(told):
                break
        if not several:
            return (), tuple(wrong)
        several.sort(key=lambda found: -found[0])
        followed = several[: 1 if several[0][0] == len(told) else _FORWARDS]
        return min((self.backward(bases, forward) for _, forward, bases in followed), key=_cost)

    # which forward pass this is

    def forwards(self, wrong: Sequence[str]) -> Iterator[Reading]:
        """Edits of the forward pass that give what is returned beside gradients, the simplest first."""
        several = []
        for base, name, edit in self.forward_edits():
            reading = self._value(base, ((name, edit),))
            if reading is not None and reading.known:
                yield reading
            elif reading is not None:
                several.append(reading)
        yield from sorted(several, key=lambda reading: words.simplicity(reading.edits), reverse=True)
        if not several:
            yield from self._of_numbers(wrong)
            yield from self._of_two()

    def _value(self, base: Program, edits: tuple[tuple[str, Edit], ...]) -> Reading | None:
        program, told = edits[-1][1].program, set(self._told(self.values))
        if near(self.trials, base, program, told) < told:
            return None
        explained, distance = match(self.trials, base, program, told)
        return Reading(base, program, edits, explained, distance) if explained == told else None

    def _told(self, names: Iterable[str]) -> list[str]:
        """Those on which a trial says anything."""
        return [name for name in names if any(name in trial.telling for trial in self.trials)]

    def forward_edits(self) -> Iterator[tuple[Program, str, Edit]]:
        """Every edit of the forward pass, by its name, and what it is an edit of: the catalogue's, then all others."""
        for name, edit in self._planted(self.derived, FORWARD):
            yield self.derived.styles[edit.program.style], name, edit
        for base in () if self.coarse else self._spellings():
            written_out = at_once(base) if base.style in ("equations", "stages") else ()
            yield from ((base, edit.kind, edit) for edit in chain(of_forward(base), written_out, misread(base)))

    def _spellings(self) -> list[Program]:
        """A program for each way in which the forward steps are written."""
        return [program for style, program in self.derived.styles.items() if style in STYLES]

    def _of_numbers(self, wrong: Sequence[str]) -> Iterator[Reading]:
        """Another ε or weight than the one given; then any number before any part of the forward pass."""
        if self.coarse:
            return
        stages = self.derived.stages
        for symbol, kind in (("eps", "eps-ignored"), ("new_weight", "constant")):
            label = next((n for n, e in stages.forward.items() if symbol in e.names), "")
            if label:
                other = {n: exchanged(e, {symbol: Name(HOLE)}) for n, e in stages.forward.items()}
                whole = replace(stages, forward=other, saved=other)
                edit = Edit(kind, whole, FORWARD, label, Name(symbol), Name(HOLE))
                reading = self._with_number(stages, edit, wrong[0])
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

    def _with_number(self, base: Program, edit: Edit, name: str) -> Reading | None:
        """Another number: a multiple of the one given, or a constant in its place."""
        filled = fitted(self.trials, base, edit, name, linear=False)
        if filled is None:
            return None
        kept = () if edit.side == FORWARD else self.values
        names = self.values if edit.side == FORWARD else self.gradients
        explained, distance = match(self.trials, base, filled.program, names, kept=kept)
        return Reading(base, filled.program, ((edit.kind, filled),), explained, distance) if explained else None

    def _of_two(self) -> Iterator[Reading]:
        """Two bugs of the catalogue in the forward pass."""
        if self.coarse:
            return
        for name, edit in self._planted(self.derived, FORWARD):
            both = Derived({**self.derived.styles, edit.program.style: edit.program})
            for other, second in self._planted(both, FORWARD, after=name):
                if second.program.style == edit.program.style:
                    base = self.derived.styles[edit.program.style]
                    reading = self._value(base, ((name, edit), (other, second)))
                    if reading:
                        yield reading

    def bases(self, forward: Reading) -> list[Program]:
        """The backward passes that may go with a forward pass, of each style that has these steps.

        That of the new forward; the one that reads what was saved; the one that computes what it needs anew, rightly.
        """
        steps = forward.program.forward
        before = self.derived.styles[forward.program.style].forward
        changed = {n: e for n, e in steps.items() if before.get(n) != e}
        _, edit = forward.edits[-1]
        misread = {edit.was.label: edit.now} if edit.throughout and isinstance(edit.was, Name) else {}
        bases = [forward.program.swept(steps)]
        for right in self.derived.styles.values():
            if right.forward.keys() <= steps.keys():
                own, anew = steps, before
            elif changed.keys() <= right.forward.keys():
                own, anew = {**right.forward, **changed}, right.forward
            else:
                continue
            saved = replace(right, forward=own, saved=own)
            bases += [saved, replace(saved, saved=anew)]
            if misread:
                backward = {n: exchanged(e, misread) for n, e in right.backward.items()}
                bases.append(replace(saved, backward=backward))
        return bases

    # which backward pass

    def backward(self, bases: Sequence[Program], forward: Reading | None = None) -> Found:
        """The readings that together explain every gradient, and the names that none does."""
        told = frozenset(self._told(self.gradients))
        if forward is None:
            fitting = [(base, told - set(self.failing)) for base in _distinct(bases)]
        else:
            fitting = self._fitting(bases, told)
        base, explained = fitting[0]
        alike = [base for base, also in fitting if also == explained]
        chosen, left = self._edits(alike, told - explained, explained, right=forward is None)
        for name in (n for n in self.gradients if n in self.failing and n not in told):  # nowhere finite
            if all(trial.near(base, base, [name]) for trial in self.trials if name in trial.failing):
                explained |= {name}
            else:
                left |= {name}
        if forward is not None:
            head = self._with_forward(forward, chosen[0].base if chosen else base, bases[0], explained)
            chosen = (head, *chosen)
        return chosen, tuple(name for name in self.gradients if name in left)

    def _fitting(self, bases: Sequence[Program], told: frozenset[str]) -> list[tuple[Program, frozenset[str]]]:
        """The backward passes that explain the most gradients as they are, the plainest first, and which those are."""
        close = [(len(near(self.trials, base, base, told)), base) for base in bases]
        most = max(count for count, _ in close)
        fitting = []
        for base in _distinct([base for count, base in close if count == most]):
            explained, _ = match(self.trials, base, base, told)
            fitting.append((base, explained))
            if explained == told:
                return fitting[-1:]
        return sorted(fitting, key=lambda pair: -len(pair[1]))

    def _edits(
        self, bases: Sequence[Program], wanted: frozenset[str], kept: frozenset[str], *, right: bool
    ) -> tuple[tuple[Reading, ...], frozenset[str]]:
        """The readings of these backward passes that together explain what is wanted, and what they leave."""
        few = bases[: _FEW if right else _FEW - 1]
        stages = (
            (self._catalogued, bases),
            (self._edited, bases if right else few),
            (self._solved, few),
            (self._used, few),
            (self._doubled, few),
        )
        readings: list[Reading] = []
        chosen, left = _cover(readings, wanted)
        for stage, tried in stages[: 1 if self.coarse else None]:
            for base in tried if left else ():
                readings += stage(base, tuple(sorted(wanted)), tuple(sorted(kept)))
                chosen, left = _cover(readings, wanted)
                if not left and len(chosen) == 1:
                    break
        return chosen, left

    def _with_forward(self, forward: Reading, base: Program, swept: Program, explained: frozenset[str]) -> Reading:
        """What a forward reading explains together with the backward pass that goes with it.

        Where that is not its own, nor as right as its own is, the bug is in the forward pass only.
        """
        told = frozenset(self._told(self.gradients))
        own = base is swept or (explained == told and match(self.trials, swept, swept, told)[0] == told)
        others = {"eps-outside-sqrt": "eps-outside-in-forward-only", "ddof-forward": "ddof-in-forward-only"}
        edits = forward.edits if own else tuple((others.get(name, name), edit) for name, edit in forward.edits)
        program = replace(base, forward=forward.program.forward)
        return Reading(base, program, edits, forward.explains | explained, forward.residual)

    @cached_property
    def _sides(self) -> dict[str, set[bool]]:
        """Whether a bug of the catalogue is in the forward pass: yes, no, or both."""
        return {name: {edit.side == FORWARD for edit in plant(self.derived)} for name, plant in self.plants.items()}

    def _planted(self, parts: Derived, side: str, after: str = "") -> Iterator[tuple[str, Edit]]:
        """The edits of the catalogue on one side, of the bugs that come after one."""
        names = [name for name, sides in self._sides.items() if (side == FORWARD) in sides or name == after]
        for name in names[names.index(after) + 1 if after else 0 :]:
            for edit in self.plants[name](parts):
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
        for name, edit in chain.from_iterable(self._planted(parts, side) for side in sides):
            if edit.program.style == base.style:
                yield from self._read(base, ((name, edit),), wanted, kept)

    def _used(self, base: Program, wanted: Sequence[str], kept: Sequence[str]) -> Iterator[Reading]:
        behind = _behind(base, wanted)
        for edit in at_one_use(base):
            if edit.step in behind:
                yield from self._read(base, ((edit.kind, edit),), wanted, kept)

    def _edited(self, base: Program, wanted: Sequence[str], kept: Sequence[str]) -> Iterator[Reading]:
        right, behind = self.derived.styles.get(base.style), _behind(base, wanted)
        for edit in _of_right(base) if base is right else _of_backward(base):
            if edit.side != BACKWARD or edit.throughout or edit.step in behind:
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

    def _doubled(self, base: Program, wanted: Sequence[str], kept: Sequence[str]) -> Iterator[Reading]:
        """Two bugs of the catalogue in one gradient."""
        for name, edit in self._planted(self._parts(base), BACKWARD):
            if edit.program.style == base.style:
                for other, second in self._planted(self._parts(edit.program), BACKWARD, after=name):
                    if second.program.style == base.style:
                        yield from self._read(base, ((name, edit), (other, second)), wanted, kept)

    def _read(
        self, base: Program, edits: tuple[tuple[str, Edit], ...], wanted: Sequence[str], kept: Sequence[str]
    ) -> Iterator[Reading]:
        program = edits[-1][1].program
        explained, distance = match(self.trials, base, program, wanted, kept=kept)
        if explained:
            yield Reading(base, program, edits, explained, distance)


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


def _behind(base: Program, names: Iterable[str]) -> set[str]:
    """The backward steps that some gradients are computed from."""
    behind = set(map(step_of, names))
    for step in reversed(list(base.backward)):
        if step in behind:
            behind |= base.backward[step].names
    return behind


def _distinct(bases: Sequence[Program]) -> list[Program]:
    """The programs whose backward passes differ, in what they compute or in what they read.

    The first, a forward pass's own, stays there; the plainest follow.
    """
    distinct: list[Program] = []
    for base in bases:
        if all((base.backward, base.saved) != (other.backward, other.saved) for other in distinct):
            distinct.append(base)
    return distinct[:1] + sorted(distinct[1:], key=lambda base: words.plainness(base.style))


def _cost(found: Found) -> tuple[int, int, bool]:
    """What is left, how many edits it takes, and whether some have no name."""
    readings, left = found
    edits = {id(edit) for reading in readings for _, edit in reading.edits}
    return len(left), len(edits), not all(reading.known for reading in readings)


def _cover(readings: Sequence[Reading], wanted: Iterable[str]) -> tuple[tuple[Reading, ...], frozenset[str]]:
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
    return tuple(chosen), frozenset(left)


_FEW = 4
"""In how many styles the long searches are made, the plainest ones."""
