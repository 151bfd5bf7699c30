"""A target that is right on the usual cases, asked under every condition: where is it not, and from which bound on?"""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, product
from types import MappingProxyType
from typing import Any

import numpy as np

from bncheck.bugs.diagnose import UNKNOWN, Diagnosis, diagnose, named_effect
from bncheck.case import Case, Gradients
from bncheck.errors import BncheckError, TargetFailed
from bncheck.examination.conditions import Condition, Effort, compiles, conditions
from bncheck.examination.constants import Constants
from bncheck.examination.subjects import Subject
from bncheck.layers import Layer
from bncheck.results import Check, findings
from bncheck.targets.calls import Target
from bncheck.tolerances.bounds import computed_truth, tolerance, truth_of
from bncheck.tolerances.verdicts import Comparison, compare, told_apart


@dataclass(frozen=True)
class Found:
    """What came of some conditions: checks, bugs, in words where it is wrong or crashed, and what was asked or not."""

    checks: tuple[tuple[Case, Check], ...] = ()
    bugs: tuple[Diagnosis, ...] = ()
    wrong: str = ""
    crash: str = ""
    asked: tuple[str, ...] = ()
    not_asked: Mapping[str, str] = field(default_factory=dict)
    habits: Mapping[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether anything is amiss."""
        return bool(self.bugs or self.wrong or self.crash) or any(one.verdict.failed for _, one in self.checks)

    def and_also(self, other: Found) -> Found:
        """Both as one."""
        return Found(
            self.checks + other.checks,
            self.bugs + other.bugs,
            " ".join(filter(None, (self.wrong, other.wrong))),
            self.crash or other.crash,
            tuple(dict.fromkeys(self.asked + other.asked)),
            {**self.not_asked, **other.not_asked},
            {**self.habits, **other.habits},
        )


def under_conditions(subject: Subject, layer: Layer, dtypes: Sequence[str], seed: int, effort: Effort) -> Found:
    """A target asked under every condition in each of its layouts, for as long as the effort allows."""
    constants = Constants.of(subject.sandbox.address) if isinstance(subject, Target) else Constants()
    spoken = [name for name in dtypes if name != "float16"] or dtypes
    rooms = [*product(subject.layouts, spoken if effort.thorough else spoken[:1])]
    each = replace(effort, cases=math.ceil(effort.cases / len(rooms)))
    probe = _Probe(subject, layer, time.monotonic() + effort.seconds)
    for layout, dtype in rooms:
        probe.ask(conditions(subject, layer, layout, dtype, seed, each, constants))
        if probe.crash:
            break
    return probe.found()


@dataclass
class _Probe:
    """Somebody who is being asked, and what came of it so far."""

    subject: Subject
    layer: Layer
    deadline: float
    right: list[Condition] = field(default_factory=list)
    wrong: list[tuple[Condition, dict[str, Comparison]]] = field(default_factory=list)
    effects: dict[str, tuple[str, list[Condition]]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    crash: str = ""
    slowest: float = 0.0
    largest: int = 1

    def ask(self, several: Iterable[Condition]) -> None:
        """Asks one after the other while there is time, up to the first that ends the target's process."""
        for condition in several:
            if not self._affords(condition.case):
                self.left_out.append(condition.name)
                continue
            try:
                self._hold(condition)
            except Exception as error:  # whatever somebody's code does is a finding about that code
                if self._refused(condition, error):
                    continue
                self.crash = self.crash or self._raised(condition, error)
                if isinstance(error, TargetFailed) and error.reason not in ("raised", "answer"):
                    return

    def _affords(self, case: Case) -> bool:
        """Whether there is time for a case, even if the time grows with the square of its size."""
        growth = 1.0 if compiles(self.subject) else max(1.0, case.x.size / self.largest)
        limit = self.subject.sandbox.time_limit / 2 if isinstance(self.subject, Target) else math.inf
        awaited = self.slowest * growth**2
        return time.monotonic() + awaited < self.deadline and (growth == 1 or awaited < limit)

    def _hold(self, condition: Condition) -> None:
        started = time.monotonic()
        got, noticed = self._answer(condition)
        taken = time.monotonic() - started
        if condition.case.x.size >= self.largest:
            self.slowest, self.largest = taken, condition.case.x.size
        for effect, shows in noticed.items():
            self.effects.setdefault(effect, (shows, []))[1].append(condition)
        comparisons = self._held(condition, got)
        if any(one.verdict.failed for one in comparisons.values()):
            vjp = self.vjp(condition.order)
            self.wrong.append((condition, told_apart(comparisons, vjp, self.layer, condition.case)))
        elif not noticed:
            self.right.append(condition)

    def _held(self, condition: Condition, got: Gradients) -> dict[str, Comparison]:
        case, allowed = condition.case, tolerance(self.layer, condition.case)
        truth = truth_of(allowed) if case.dtype == np.float64 else computed_truth(self.layer, case)
        return compare(got, truth, {name: radius.radius for name, radius in allowed.items()})

    def _answer(self, condition: Condition) -> tuple[Gradients, dict[str, str]]:
        """What is answered, and what happened beside it that does not happen usually, with where it shows."""
        case, subject = condition.case, self.subject
        if not isinstance(subject, Target):
            return subject.vjp(case), {}
        given = {"x": case.x, **({"dy": case.dy} if subject.has_backward else {}), **case.parameters}
        answers, notes = subject.ask(given, case.layout, case.eps, condition.order)
        effects = {}
        mutated = [name for name in notes["mutated"] if name not in subject.observations.get("mutates", ())]
        if mutated:
            effects["mutates-input"] = mutated[0]
        known = subject.observations.get("dtype_changed", {}).get(str(case.dtype), {})
        other = [name for name, value in answers.items() if value.dtype != case.dtype and name not in known]
        if other:
            effects["dtype-changed"] = other[0]
        return {name: value for name, value in answers.items() if name in ("y", *case.gradient_names)}, effects

    def vjp(self, order: Mapping[str, str]) -> _Ordered:
        """The target as a function of a case, its arrays handed over in some order of memory."""
        return _Ordered(self, order)

    def _fails(self, condition: Condition) -> bool:
        """Whether something is wrong under a condition; what raises fails as well."""
        try:
            got, effects = self._answer(condition)
            return bool(effects) or any(one.verdict.failed for one in self._held(condition, got).values())
        except Exception:
            return True

    def _refused(self, condition: Condition, error: Exception) -> bool:
        """Whether a condition is declined, which is no bug: by intent, for want of values, or by taking too long."""
        if not isinstance(error, TargetFailed):
            return isinstance(error, BncheckError) or condition.may_be_refused
        if error.reason in ("timeout", "memory") and condition.case.x.size > _USUAL:
            self.left_out.append(condition.name)
            return True
        declined = error.deliberate or condition.may_be_refused or bool(condition.order) or self._by_accident(condition)
        return error.reason == "raised" and declined

    def _by_accident(self, condition: Condition) -> bool:
        """Whether a layout is taken only because γ and β broadcast there, which code for its own layout need not do."""
        if not isinstance(self.subject, Target):
            return False
        shapes = self.subject.plan.shapes
        return shapes[condition.case.layout] != shapes[self.subject.layout]

    def _raised(self, condition: Condition, error: Exception) -> str:
        raised = str(error) if isinstance(error, BncheckError) else f"It raised {type(error).__name__}: {error}."
        return f"{raised} {self._where([condition])}"

    def found(self) -> Found:
        """What came of all."""
        failing = [condition for condition, _ in self.wrong]
        where = self._where(failing) if failing else ""
        bugs = [replace(bug, explanation=f"{bug.explanation}: {where[0].lower()}{where[1:-1]}") for bug in self._bugs()]
        affected = [condition for _, several in self.effects.values() for condition in several]
        for effect, (shows, several) in self.effects.items():
            bugs.append(named_effect(effect, shows))
            where = where or self._where(several)
        why = ""
        if self.left_out:
            shown = ", ".join(self.left_out[:3]) + (" and others" if len(self.left_out) > 3 else "")
            why = f"{shown}: no time was left. Ask again with --thorough."
        return Found(
            tuple((condition.case, Check(findings(condition.case, told))) for condition, told in self.wrong),
            tuple(bugs),
            where,
            self.crash,
            tuple(dict.fromkeys(condition.name for condition in (*self.right, *failing, *affected))),
            {"conditions": why} if why else {},
        )

    def _bugs(self) -> Sequence[Diagnosis]:
        """Which term is wrong, on the smallest cases that fail in one layout and order."""
        if not self.wrong or self.wrong[0][0].case.dtype.itemsize < 4:
            return ()
        failing = sorted((condition for condition, _ in self.wrong), key=lambda o: (o.case.count < 3, o.case.x.size))
        first = failing[0]
        alike = [one.case for one in failing if one.case.layout == first.case.layout and one.order == first.order]
        if first.case.x.size > _DIAGNOSED:
            return ()
        bugs = diagnose(self.layer, self.vjp(first.order), alike[: _TRIALS if first.case.x.size <= _FEW else 1])
        return [bug for bug in bugs if bug.id != UNKNOWN]

    def _where(self, failing: Sequence[Condition]) -> str:
        """Where it fails, in one sentence: how sizes relate, or bounds of numbers, or what conditions are called."""
        dialled = [one for one in failing if one.dial]
        words = dict.fromkeys(one.dial.words for one in dialled if one.dial)
        relation = self._relation(failing) if len(words) + (len(dialled) < len(failing)) > 1 else ""
        if relation:
            return f"Only where {relation}."
        bounds = [self._bound([one for one in dialled if one.dial and one.dial.words == name]) for name in words]
        regular = [clause for clause, holds in bounds if holds]
        others = [f"with {one.name}" for one in failing if one.dial is None]
        clauses = [f"where {clause}" for clause in regular or ([] if others else [clause for clause, _ in bounds])]
        if not regular or len(others) > len(failing) / 2:
            clauses += others
        shown = list(dict.fromkeys(clauses))
        more = f", and under {len(shown) - _CLAUSES} more of the conditions" if len(shown) > _CLAUSES else ""
        return f"Only {', '.join(shown[:_CLAUSES])}{more}."

    def _relation(self, failing: Sequence[Condition]) -> str:
        """How two sizes relate, or how many values a mean covers, wherever it fails and nowhere else; or nothing."""
        layout = failing[0].case.layout
        wrong = [one.case for one in failing if one.case.layout == layout]
        right = [one.case for one in self.right if one.case.layout == layout]

        for first, second in combinations(range(len(layout.axes)), 2):
            for sign, relation in _RELATIONS.items():
                pairs = [[(c.x.shape[first], c.x.shape[second]) for c in cases] for cases in (wrong, right)]
                if all(relation(*pair) for pair in pairs[0]) and not any(relation(*pair) for pair in pairs[1]):
                    return f"{layout.axes[first]} {sign} {layout.axes[second]}"
        most, least = max((case.count for case in right), default=0), min(case.count for case in wrong)
        axes = {one.dial.words for one in failing if one.dial}
        several = len(axes & set(layout.reduced)) > 1
        return f"m, the values in a mean, is {least} or more: it is right at {most}" if several and least > most else ""

    def _bound(self, failing: Sequence[Condition]) -> tuple[str, bool]:
        """The numbers on one dial for which it fails, told by turning it, and whether all that was asked agrees."""
        dials = [one.dial for one in failing if one.dial is not None]
        dial, order = min(dials, key=lambda one: abs(math.log(one.here / one.usual))), failing[0].order
        passing = [one.dial.here for one in self.right if one.dial and one.dial.words == dial.words]
        numbers = sorted({one.here for one in dials})

        def fails(number: float) -> bool:
            return self._fails(Condition("", dial.at(number), order=order))

        right, wrong = dial.usual, dial.here
        for _ in range(_TURNS):
            middle = (right + wrong) // 2 if dial.whole else math.sqrt(right * wrong)
            if middle in (right, wrong) or (not dial.whole and 0.95 < right / wrong < 1.05):
                break
            right, wrong = (right, middle) if fails(middle) else (middle, wrong)
        for clause, holds in _readings(dial.whole, right, wrong):
            beyond = [n for n in (wrong - 1, wrong + 1, wrong + 2) if dial.whole and n >= 1]
            if all(map(holds, numbers)) and not any(map(holds, passing)) and all(holds(n) == fails(n) for n in beyond):
                return f"{dial.words} {clause}", True
        told = [f"{number:g}" for number in numbers[:4]]
        return f"{dial.words} is {', '.join(told[:-1])}{' or ' if told[1:] else ''}{told[-1]}", False


_RELATIONS: Mapping[str, Callable[[int, int], bool]] = MappingProxyType(
    {"=": operator.eq, "≠": operator.ne, "<": operator.lt, ">": operator.gt}
)


def _readings(whole: bool, right: float, wrong: float) -> Iterator[tuple[str, Callable[[float], bool]]]:
    """What may be said of the numbers that fail, where one does and one next to it does not."""
    if not whole:
        beyond = (lambda n: n >= 0.99 * wrong) if wrong > right else (lambda n: n <= 1.01 * wrong)
        yield f"is {'above' if wrong > right else 'below'} {wrong:.2g}", beyond
        return
    if wrong > right:
        yield f"> {right:g}", lambda n: n >= wrong
    elif wrong > 1:
        yield f"< {right:g}", lambda n: n <= wrong
    yield f"= {wrong:g}", lambda n: n == wrong
    yield "is even" if wrong % 2 == 0 else "is odd", lambda n: n % 2 == wrong % 2


@dataclass(frozen=True)
class _Ordered:
    """A target as a function of a case."""

    probe: _Probe
    order: Mapping[str, str]

    def __call__(self, case: Case) -> Gradients:
        answers, _ = self.probe._answer(Condition("", case, order=self.order))
        return answers


_USUAL = 1 << 11
"""Up to how many elements a target has to be able to answer in time."""

_DIAGNOSED = 1 << 13
_FEW = 1 << 9
_TRIALS, _TURNS, _CLAUSES = 2, 14, 3
