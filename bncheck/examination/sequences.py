"""Several calls on one instance: each answer must be that of its own input, whatever was asked before.

Gradients of γ and β that add up until somebody clears them are a habit, as long as each dx is its own. What an instance
declines, such as a second backward without a new forward, is no bug.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from bncheck.bugs.diagnose import UNKNOWN as NAMELESS
from bncheck.bugs.diagnose import Diagnosis, diagnose, named_effect
from bncheck.case import Array, Case, Gradients
from bncheck.errors import TargetFailed
from bncheck.examination.probing import Found
from bncheck.inputs.recipes import Recipe
from bncheck.inputs.sizes import TELLING, shape_of
from bncheck.layers import LAYERS, Layer
from bncheck.results import Check, findings
from bncheck.targets.calls import TRIAL_EPS, Target
from bncheck.targets.conventions import UNKNOWN, Steps, agree
from bncheck.tolerances.bounds import computed_truth, tolerance, truth_of
from bncheck.tolerances.verdicts import Comparison, compare

SEQUENCES: Mapping[str, str] = MappingProxyType(
    {
        "the same forward came before": "f1 f1 b1",
        "another forward came before": "f1 f2 b2",
        "a forward and a backward came before": "f1 b1 f2 b2",
        "another backward came before": "f1 b1 b2",
        "a larger batch came before": "f1 b1 f3 b3",
        "a smaller batch came before": "f3 b3 f1 b1",
        "a single sample came before": "f4 f1 b1",
        "an evaluation came before": "f1 e2 f1 b1",
        "an evaluation of a smaller batch came before": "f1 e3 f1 b1",
        "a batch comes fifth": "f1 b1 f2 b2 f1 b1 f2 b2 f1 b1 f2 b2",
        "a batch comes in evaluation": "f1 f2 e1 e2 e3 e4 e1",
        "batches and evaluations take turns": "f1 e1 f2 e2 f1 e1 f2 e2 f1 e1 f2",
        "a batch comes twelfth": "f1 f2 f1 f2 f1 f2 f1 f2 f1 f2 f1 f2 b2",
    }
)
"""What is asked: forward, backward and evaluation of which batch. 3 has fewer samples than 1 and 2, and 4 has one."""

_WORDS = {"f": "forward", "b": "backward", "e": "evaluate"}
_RUNNING: Mapping[str, Any] = MappingProxyType({"running_mean": np.mean, "running_var": np.var})
_MODELESS = ("layer_norm", "group_norm", "rms_norm")  # in evaluation what they are in training
_NTH = ("first", "second", "third", "fourth", "fifth", "sixth")


def in_sequence(target: Target, dtype: str, seed: int, deadline: float) -> Found:
    """What a target answers to several calls on one instance, up to the first sequence in which it is wrong."""
    found, left = Found(), list[str]()
    batches = dict(zip("1234", _batches(target, dtype, seed), strict=False))
    for name, letters in SEQUENCES.items():
        if found.failed:
            break
        if time.monotonic() > deadline:
            left.append(name)
            continue
        steps = [step for step in letters.split() if target.has_backward or not step.startswith("b")]
        try:
            found = found.and_also(_in_one_way(target, name, steps, batches))
        except TargetFailed as failure:
            if failure.reason not in ("raised", "answer"):
                return found.and_also(Found(crash=f"{failure} It was asked for several batches, one after the other."))
    others = " and others" if len(left) > 1 else ""
    why = f"Where {left[0]}{others}: no time was left. Ask again with --thorough." if left else ""
    return found.and_also(Found(not_asked={"sequences": why} if why else {}))


def _in_one_way(target: Target, name: str, steps: Sequence[str], batches: Mapping[str, Case]) -> Found:
    """What is wrong in a sequence; nothing where a method of its own, called before each forward, sets it right."""
    found = _Sequence.of(target, name, steps, batches).found()
    summed = list(found.habits.get("accumulates", ()))
    for method in target.clears if found.failed or summed else ():
        try:
            anew = _Sequence.of(target, name, steps, batches, method).found()
        except TargetFailed:
            continue
        left = list(anew.habits.get("accumulates", ()))
        if found.failed and not anew.failed:
            return replace(anew, habits={**anew.habits, "keeps_until": method})
        if not anew.failed and 0 < len(left) < len(summed):
            cleared = ", ".join(one for one in summed if one not in left)
            return replace(found, wrong=f"Its {method}() clears {cleared}, but not {', '.join(left)}, which adds up.")
        if not anew.failed and summed and not left:
            return found
    return found


@dataclass(frozen=True)
class _Held:
    """One answer held against the truth; `summed` are the gradients that are the sum of all so far."""

    step: int
    case: Case
    comparisons: Mapping[str, Comparison]
    summed: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether it is wrong."""
        return any(one.verdict.failed for one in self.comparisons.values())


@dataclass(frozen=True)
class _Sequence:
    """Some steps on one instance, and what was answered."""

    target: Target
    name: str
    steps: Sequence[str]
    batches: Mapping[str, Case]
    answers: Sequence[Mapping[str, Array]]
    stopped: TargetFailed | None
    clears: str = ""

    @classmethod
    def of(
        cls, target: Target, name: str, steps: Sequence[str], batches: Mapping[str, Case], clears: str = ""
    ) -> _Sequence:
        """Asks the target, whose method `clears` is called before each forward.

        Raises
            TargetFailed: it cannot be asked at all.
        """
        steps = [step for step in steps if step[1] in batches]
        answers, stopped = _asked(target, steps, batches, clears)
        return cls(target, name, steps, batches, answers, stopped, clears)

    def found(self) -> Found:
        """What is wrong with the answers."""
        held = list(self._held())
        failing = [one for one in held if one.failed]
        where = f"Only where {self.name}."
        rule, bugs = self._rule()
        crash = f"{self.stopped} It was asked where {self.name}." if self.stopped and not self._may_stop else ""
        if failing:
            told = self._diagnosed(failing[0])
            bugs += tuple(replace(bug, explanation=f"{bug.explanation}: {_clause(where)}") for bug in told)
        checks = tuple((one.case, Check(findings(one.case, one.comparisons))) for one in failing)
        summed = sorted({name for one in held for name in one.summed})
        habits = {"accumulates": summed} if summed else {}
        return Found(checks, bugs, where if failing else rule, crash, (f"where {self.name}",), habits=habits)

    @property
    def _may_stop(self) -> bool:
        """Whether what was raised is declined: by intent, a second backward, an evaluation, sizes that are fixed."""
        assert self.stopped is not None
        at = len(self.answers)
        again = self.steps[at][0] == "b" == self.steps[max(at - 1, 0)][0]
        shapes = {self.batches[step[1]].x.shape for step in self.steps}
        return self.stopped.deliberate or again or len(shapes) > 1 or self.steps[at][0] == "e"

    def _held(self) -> Iterator[_Held]:
        """Each answer held against the truth of its own input.

        Whose gradients a backward answers after an evaluation is a matter of taste.
        """
        layer, latest, sums = self.target.layer, "", dict[str, Array]()
        for k, (step, before, got) in enumerate(zip(self.steps, self._statistics(), self.answers, strict=False)):
            kind, number = step[0], step[1]
            case = replace(self.batches[number], origin=f"where {self.name}")
            if kind == "e":
                latest = ""
                mode, evaluation = self._evaluation(case, before)
                if mode is not None and "y" in got:
                    yield _Held(k, evaluation, _compared(mode, evaluation, {"y": got["y"]}, np.dtype(np.float32)))
            elif kind == "f":
                latest = number
                yield _Held(k, case, _compared(layer, case, {"y": got["y"]}))
            elif latest and self.batches[latest].x.shape == case.dy.shape:
                case = replace(self.batches[latest], dy=case.dy, origin=case.origin)
                own = _compared(layer, case, {name: got[name] for name in case.gradient_names if name in got})
                truth = truth_of(tolerance(layer, case))
                sums = {name: truth[name].value + sums.get(name, 0.0) for name in own if name != "dx"}
                summed = tuple(n for n, total in sums.items() if own[n].verdict.failed and _is(got[n], total))
                yield _Held(k, case, {n: one for n, one in own.items() if n not in summed}, summed)

    def _diagnosed(self, held: _Held) -> list[Diagnosis]:
        """Which term is wrong where a sequence goes wrong in a forward or a backward that follows one."""
        start = next((k for k in range(held.step, -1, -1) if self.steps[k][0] == "f"), None)
        if start is None or self.steps[held.step][0] == "e" or "b" in "".join(self.steps[start + 1 : held.step]):
            return []
        before = self.steps[:start]

        def answered(case: Case) -> Gradients:
            """What is answered to a case after all that came before."""
            steps = [*before, "f0", *(["b0"] if self.target.has_backward else [])]
            answers, stopped = _asked(self.target, steps, {**self.batches, "0": case}, self.clears)
            if stopped is not None:
                raise stopped
            return {name: got[name] for got in answers[len(before) :] for name in got if name in held_names(case)}

        def held_names(case: Case) -> tuple[str, ...]:
            return ("y", *case.gradient_names)

        bugs = diagnose(self.target.layer, answered, [held.case])
        return [bug for bug in bugs if bug.id != NAMELESS]

    def _statistics(self) -> list[Mapping[str, Array]]:
        """The running statistics before each step, and after the last."""
        kept: list[Mapping[str, Array]] = [{}]
        for got in self.answers:
            kept.append({name: got[name] for name in _RUNNING if name in got} or kept[-1])
        return kept

    @property
    def _has_statistics(self) -> bool:
        """Whether it evaluates with running statistics."""
        return bool(self.target.observations.get("evaluation") == "running statistics")

    def _evaluation(self, case: Case, state: Mapping[str, Array]) -> tuple[Layer | None, Case]:
        """The layer that an evaluation is, and its case; no layer where that is not known."""
        if self.target.layer.name in _MODELESS:
            return self.target.layer, case
        shape = self.target.layout.parameter_shape(case.x.shape)
        if not self._has_statistics or any(
            name not in state or state[name].size != np.prod(shape) for name in _RUNNING
        ):
            return None, case
        given = {name: state[name].reshape(shape).astype(case.dtype) for name in _RUNNING}
        if not all(np.isfinite(value).all() for value in given.values()) or (given["running_var"] < 0).any():
            return None, case
        return LAYERS["batch_norm_eval"], replace(case, state=given)

    def _rule(self) -> tuple[str, tuple[Diagnosis, ...]]:
        """Where the running statistics depart from the rule that the first two steps showed, and in which batch."""
        statistics, count = self._statistics(), 0
        for step, old, new in zip(self.steps, statistics, statistics[1:], strict=False):
            count += step[0] == "f"
            if not old.keys() & new.keys() or step[0] == "b":
                continue
            if step[0] == "f":
                departs = [name for name in old if name in new and self._departs(name, old, new, step[1], count)]
                if departs:
                    nth = _NTH[count - 1] if count <= len(_NTH) else f"{count}th"
                    told = departs[0].replace("_", " ")
                    return f"Its {told} does not follow its own rule at the {nth} batch, where {self.name}.", ()
            else:
                moved = [
                    name for name in old if name in new and not np.array_equal(old[name], new[name], equal_nan=True)
                ]
                if moved and self._has_statistics:
                    return f"Only where {self.name}.", (named_effect("state-changed", moved[0]),)
        return "", ()

    def _departs(self, name: str, old: Mapping[str, Array], new: Mapping[str, Array], number: str, count: int) -> bool:
        """Whether a running statistic makes another step than its rule says; a cumulative average weighs 1/t."""
        weight, divisor = (self.target.observations.get(one) for one in ("new_weight", "running_variance"))
        x, axes = self.batches[number].x, self.target.layout.reduced_axes
        m = self.target.layout.count(x.shape)
        batch = np.asarray(_RUNNING[name](x.astype(np.float64), axis=axes)).ravel()
        if weight is None or divisor in (None, UNKNOWN) or m == 1 or old[name].size != batch.size:
            return False
        if not np.isfinite(old[name]).all():
            return False
        factor = m / (m - 1) if divisor == "unbiased" and name == "running_var" else 1.0
        steps = Steps(old[name].ravel(), new[name].ravel(), batch)
        weights = (weight, 1 / count) if math.isclose(weight, 0.5, rel_tol=1e-6) else (weight,)
        return not any(steps.follows(one, factor) for one in weights)


def _asked(
    target: Target, steps: Sequence[str], batches: Mapping[str, Case], clears: str
) -> tuple[list[dict[str, Array]], TargetFailed | None]:
    """What is answered to steps, with the parameters of the last batch."""
    last = batches[steps[-1][1]]
    named = [(_WORDS[step[0]], f"{'dy' if step[0] == 'b' else 'x'}{step[1]}") for step in steps]
    arrays = {f"x{k}": case.x for k, case in batches.items()} | {f"dy{k}": case.dy for k, case in batches.items()}
    return target.steps(named, {**{name: arrays[name] for _, name in named}, **last.parameters}, last.eps, clears)


def _batches(target: Target, dtype: str, seed: int) -> Iterator[Case]:
    """Two batches, the second narrower and elsewhere, one of fewer samples, one of a single; the same parameters."""
    layout, eps = target.layout, target.eps or (0.5 if target.plan.takes_eps else TRIAL_EPS)
    fixed, parameters = target.fixed_sizes(), dict[str, Array]()
    shape = shape_of(layout, TELLING, fixed, distinct=True)
    free = layout.axes[0] not in fixed and layout.axes[0] not in layout.affine
    for k, samples in enumerate((shape[0], shape[0], 4, 1) if free else (shape[0], shape[0])):
        recipe = Recipe(layout, (samples, *shape[1:]), dtype, eps, seed=seed + k)
        case = target.adapted(recipe.build(target.layer))
        parameters = parameters or dict(case.parameters)
        x = (case.x / 4 + 3).astype(case.dtype) if k == 1 else case.x
        yield replace(case, x=x, parameters=parameters)


def _compared(
    layer: Layer, case: Case, got: Mapping[str, Array], coarse: np.dtype[Any] | None = None
) -> dict[str, Comparison]:
    """Answers held against the truth, within what their own dtype or a coarser one allows."""
    allowed = tolerance(layer, case if coarse is None else case.astype(coarse))
    return compare(got, computed_truth(layer, case), {name: radius.radius for name, radius in allowed.items()})


def _is(value: Array, expected: Array) -> bool:
    """Whether an answer is some value but for rounding."""
    return value.size == expected.size and agree(value.reshape(expected.shape).astype(np.float64), expected)


def _clause(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:-1]
