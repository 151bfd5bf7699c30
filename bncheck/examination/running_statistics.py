"""The other modes of a target: the step that its running statistics make, and what it answers in evaluation.

The step is held against the definition with the weight and the divisor that the target was seen to use; where no weight
explains what was seen, the rule is wrong, whatever was meant. All of it is held at the tolerance of single precision:
one minus a momentum of 0.9 is not 0.1.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from bncheck.bugs.catalogue import BUGS
from bncheck.bugs.diagnose import UNKNOWN as NAMELESS
from bncheck.bugs.diagnose import Diagnosis, diagnose, named_effect
from bncheck.case import Array, Case, Gradients
from bncheck.errors import TargetFailed
from bncheck.inputs.recipes import completed
from bncheck.inputs.sizes import BATCHES, FEW, Sizes, shape_of
from bncheck.layers import LAYERS, Layer
from bncheck.results import Check, findings
from bncheck.targets.calls import MOMENTUM, TRIAL_EPS, Target
from bncheck.targets.conventions import UNKNOWN, Running, Steps, running
from bncheck.tolerances.bounds import computed_truth, tolerance
from bncheck.tolerances.verdicts import Comparison, compare

EVALUATED = " in evaluation"
"""What is added to the names of what a target answers in evaluation mode."""

LAST_STEP = "that of the last training step"
"""What a backward after an evaluation answers where evaluation has none of its own, and leaves the caches alone."""

_OWN, _OF_TRAINING = "its own", "that of training"

_TRAINED, _RUNNING = LAYERS["batch_norm"], LAYERS["batch_norm_running"]
_EVALUATED = LAYERS["batch_norm_eval"]
_STATE: Mapping[str, Any] = {"running_mean": np.mean, "running_var": np.var}
_OTHER_MOMENTUM = 0.75
_EPS = (0.5, 0.125)
"""So large that statistics to which eps was added are not those without."""


@dataclass(frozen=True)
class Modes:
    """What was found in the other modes: checks of one case each, bugs, and in words what is in no number."""

    checks: tuple[tuple[Case, Check], ...] = ()
    bugs: tuple[Diagnosis, ...] = ()
    wrong: str = ""
    crash: str = ""
    not_asked: Mapping[str, str] = field(default_factory=dict)
    habits: Mapping[str, str] = field(default_factory=dict)


def modes(target: Target, dtypes: Sequence[str], seed: int) -> Modes:
    """What a target's running statistics and evaluation mode are held against.

    A target that keeps no running statistics, or does not show them, gives nothing.
    """
    if target.layer != _TRAINED:
        return Modes()
    eps = _EPS if target.plan.takes_eps else (target.eps or TRIAL_EPS,) * 2
    try:
        usual = _Session.of(target, dtypes[0], seed, BATCHES, eps[0], MOMENTUM)
    except TargetFailed as failure:
        return Modes(crash=f"{failure} It was asked for several batches, one after the other.")
    if not usual.keeps_statistics:
        return Modes(not_asked=usual.hidden)
    sessions = [usual]
    try:
        sessions.append(_Session.of(target, dtypes[0], seed + 1, FEW, eps[1], _OTHER_MOMENTUM, insisted=True))
    except TargetFailed:  # it need not take what it does not ask for
        pass
    else:
        sessions[1] = sessions[1].meaning(usual)
    checks, bugs = _held(_RUNNING, [(session.step, session.stepped) for session in sessions])
    failing = {name for _, check in checks for name, finding in check.gradients.items() if finding.verdict.failed}
    bugs = tuple(replace(bug, gradient=_first_of_state(bug, failing)) for bug in bugs)
    no_average = _no_average(usual)
    if "options" in usual.notes["used"]:
        more, no_average = _by_default(target, dtypes[0], seed)
        checks += more
    bugs = tuple(bug for bug in bugs if not (no_average and bug.id == NAMELESS))
    if _inverted(target, usual):
        bugs += (_momentum_inverted(target),)
    evaluations = [(s.evaluation, s.evaluated) for s in sessions if "evaluated y" in s.answers and s.is_plausible]
    more, others = _held(_EVALUATED, evaluations, EVALUATED)
    effects = [named_effect("state-changed", name) for name in _STATE if usual.changes_in_evaluation(name)]
    raised = usual.notes["evaluation"]
    told = f"In evaluation mode it {raised['words']}." if raised else ""
    crashed = bool(raised) and raised["failed"] != "answer"
    wrong = "Its running variance starts below zero." if usual.starts_below_zero else no_average
    return Modes(
        (*checks, *more),
        (*bugs, *others, *effects[:1]),
        wrong="" if crashed else told or wrong,
        crash=told if crashed else "",
        not_asked={} if raised else {**usual.unentered, **usual.of_training_only},
        habits={"evaluation_backward": LAST_STEP} if usual.answers_to == LAST_STEP else {},
    )


def _by_default(target: Target, dtype: str, seed: int) -> tuple[list[tuple[Case, Check]], str]:
    """The step of a target that is left its own momentum and eps, where it has them; and if its weight is none."""
    try:
        session = _Session.of(target, dtype, seed, BATCHES, None, None)
    except TargetFailed:  # then it insists on being told
        return [], ""
    own = {name: value for name, value in session.stepped.items() if name != "y"}
    checks, _ = _held(_RUNNING, [(session.step, own)], diagnosed=False)
    return checks, _no_average(session)


def _no_average(session: _Session) -> str:
    """That the running mean is kept with a weight, and that it is none; nothing where it is one."""
    old, new = session.step.state["running_mean"], session.stepped["new_running_mean"]
    mean = session.step.x.mean(axis=session.step.layout.reduced_axes)
    if not old.shape == new.shape == mean.shape:
        return ""
    with np.errstate(all="ignore"):
        weights = (new - old) / (mean - old)
    weight = float(np.median(weights))
    if not np.allclose(weights, weight, rtol=1e-4) or 0 < weight <= 1 + 1e-4:
        return ""
    return f"By default a new batch weighs {weight:.3g} in its running mean, which is no weight of an average."


@dataclass(frozen=True)
class _Session:
    """What a target answered to three batches, of which the last is the first again, and then in evaluation.

    `chosen` are the eps and the momentum that it was given, `weight` that of a new batch where it is known beforehand.
    """

    target: Target
    seed: int
    batches: Mapping[str, Array]
    dy: Array
    parameters: Mapping[str, Array]
    eps: float
    momentum: float | None
    answers: Mapping[str, Array]
    notes: Mapping[str, Any]
    chosen: tuple[float | None, float | None] = (None, None)
    insisted: bool = False
    weight: float | None = None

    @classmethod
    def of(
        cls,
        target: Target,
        dtype: str,
        seed: int,
        sizes: Sizes,
        eps: float | None,
        momentum: float | None,
        *,
        insisted: bool = False,
    ) -> _Session:
        """Asks the target.

        Raises
            TargetFailed: it did not answer to every batch.
        """
        rng = np.random.default_rng(seed)
        shape = shape_of(target.layout, sizes, target.fixed_sizes(), distinct=True)
        first, second = (rng.normal(size=shape) + np.indices(shape)[target.layout.affine_axes[0]] for _ in range(2))
        stored = target.layout.parameter_shape(shape)
        drawn = {"gamma": rng.uniform(1, 2, size=stored), "beta": rng.normal(size=stored)}
        batches = {"first": first.astype(dtype), "second": second.astype(dtype), "third": first.astype(dtype)}
        parameters = {name: value.astype(dtype) for name, value in drawn.items() if name in target.parameters}
        dy = rng.normal(size=shape).astype(dtype)
        answers, notes = target.train(
            batches,
            parameters,
            eps,
            momentum,
            insisted=insisted,
            evaluated=batches["second"],
            dy=dy if target.has_backward else None,
        )
        known = momentum if "momentum" in notes["used"] else None
        chosen = eps, momentum
        return cls(target, seed, batches, dy, parameters, eps or TRIAL_EPS, known, answers, notes, chosen, insisted)

    def meaning(self, usual: _Session) -> _Session:
        """The same, with the weight that its momentum has to mean if it means what it did in the usual session.

        One that is handed over in options alone may be left unread.
        """
        seen = self.rule.new_weight
        unread = "options" in self.notes["used"] and seen == usual.rule.new_weight
        if self.momentum is None or unread or (usual.momentum is None and usual.rule.momentum == UNKNOWN):
            return self
        senses = {"weight of the new": self.momentum, "weight of the old": 1 - self.momentum}
        if usual.rule.momentum in senses:
            return replace(self, weight=senses[usual.rule.momentum])
        return self if seen in senses.values() else replace(self, weight=1 - self.momentum)

    @property
    def hidden(self) -> dict[str, str]:
        """That evaluation is something else than training, by statistics that it does not show."""
        evaluated = self.answers.get("evaluated y")
        if evaluated is None or _alike(evaluated, self.answers["second y"]):
            return {}
        found = "what it keeps for evaluation was not found. Name it running_mean and running_var, as attributes."
        return {"running statistics": found}

    @property
    def unentered(self) -> dict[str, str]:
        """That it keeps running statistics, and there is no way to have them used."""
        if "evaluated y" in self.answers:
            return {}
        way = "an argument or an attribute training, or the methods train() and eval()"
        return {"evaluation": f"it keeps running statistics, but no way into evaluation was found: {way}."}

    @property
    def keeps_statistics(self) -> bool:
        """Whether it shows running statistics; a number that nothing ever changes is none."""
        shown = all(f"{batch} {name}" in self.answers for batch in self.batches for name in _STATE)
        return shown and not all(
            self.answers[f"first {name}"].size == 1 != self._groups
            and np.array_equal(self.answers[f"first {name}"], self.answers[f"second {name}"])
            for name in _STATE
        )

    @property
    def _groups(self) -> int:
        return self.dy.size // self.target.layout.count(self.dy.shape)

    @cached_property
    def rule(self) -> Running:
        """The rule by which the second step was made."""
        layout, batch = self.target.layout, self.batches["second"]
        if any(self.answers[f"{name} {kept}"].size != self._groups for name in ("first", "second") for kept in _STATE):
            return Running(None, UNKNOWN, UNKNOWN)
        means, variances = (
            Steps(
                self.answers[f"first {name}"].ravel(),
                self.answers[f"second {name}"].ravel(),
                statistic(batch, axis=layout.reduced_axes).ravel(),
            )
            for name, statistic in _STATE.items()
        )
        return running(means, variances, layout.count(batch.shape), self.notes["momentum"])

    def state(self, batch: str) -> dict[str, Array]:
        """The running statistics after a batch, in the shape of a case's where they fit."""
        shape = self.target.layout.statistic_shape(self.dy.shape)
        kept = {name: self.answers[f"{batch} {name}"] for name in _STATE}
        return {name: value.reshape(shape) if value.size == self._groups else value for name, value in kept.items()}

    def _case(self, layer: Layer, batch: str, before: str, **settings: float) -> Case:
        """One batch in double precision, with the state that an earlier one left, as far as that is finite."""
        rng, layout = np.random.default_rng(self.seed), self.target.layout
        named = f"{layer.name}, {batch}"
        drawn = completed(self.batches[batch].astype(np.float64), layer, layout, rng, self.eps, named)
        left = self.state(before)
        state = {
            name: np.nan_to_num(left[name].astype(np.float64), posinf=0, neginf=0)
            if left[name].shape == value.shape
            else value
            for name, value in drawn.state.items()
        }
        learned = {name: value.astype(np.float64) for name, value in self.parameters.items()}
        chosen = {**drawn.settings, **settings}
        return replace(drawn, dy=self.dy.astype(np.float64), parameters=learned, state=state, settings=chosen)

    @property
    def step(self) -> Case:
        """The second batch in training."""
        rule = self.rule
        weight = self.weight or rule.new_weight or 1 - (self.momentum or MOMENTUM)
        return self._case(_RUNNING, "second", "first", new_weight=weight, ddof=int(rule.variance == "unbiased"))

    @property
    def stepped(self) -> dict[str, Array]:
        """What was answered to it; what was no number before or after is none here."""
        finite = [
            {name: np.isfinite(value).all() for name, value in self.state(batch).items()} for batch in self.batches
        ]
        state = {
            f"new_{name}": value if all(one[name] for one in finite) else np.full_like(value, np.nan)
            for name, value in self.state("second").items()
        }
        return {"y": self.answers["second y"], **state}

    @property
    def evaluation(self) -> Case:
        """The second batch in evaluation."""
        return self._case(_EVALUATED, "second", "third")

    @property
    def evaluated(self) -> dict[str, Array]:
        """What was answered to it; gradients only where they are of this call, and of this mode."""
        case = self.evaluation
        names = [name for name in ("y", *case.gradient_names) if f"evaluated {name}" in self.answers]
        got = {name: _shaped(self.answers[f"evaluated {name}"], case.shape_of(name)) for name in names}
        return got if self.answers_to == _OWN else {"y": got["y"]}

    @cached_property
    def answers_to(self) -> str:
        """Whose gradient a backward after an evaluation answers, "" where none does.

        One that knows of no evaluation mode answers for the batch that it was trained on last, or as in training.
        """
        names = [
            name for name in ("dx", *(f"d{name}" for name in self.parameters)) if self._evaluated(name) is not None
        ]
        if not names:
            return ""
        given = {"x": self.batches["third"], "dy": self.dy, **self.parameters}
        try:
            trained, _ = self.target.ask(given, self.target.layout, self.eps)
        except TargetFailed:  # it answered before, and will be told to have failed where it did not
            return ""
        pairs = [(trained[name], self._evaluated(name)) for name in names if name in trained]
        if all(_alike(_shaped(got, last.shape), last) for last, got in pairs if got is not None):
            return LAST_STEP
        return _OF_TRAINING if self._knows_no_evaluation else _OWN

    def _evaluated(self, name: str) -> Array | None:
        return self.answers.get(f"evaluated {name}")

    @property
    def of_training_only(self) -> dict[str, str]:
        """That a backward answers as in training for what its instance, which has an evaluation mode, evaluated."""
        if self.answers_to != _OF_TRAINING or not self.notes["mode_is_kept"]:
            return {}
        told = "its backward is that of training in both modes; where a layer is frozen, dx is γ·dy/√(σ²+ε) alone."
        return {"gradients in evaluation": told}

    @cached_property
    def _knows_no_evaluation(self) -> bool:
        """Whether dx is the same after evaluation as after training, where only a backward without a mode has it so.

        On a batch with the stored statistics y is the same in both modes, on the batch that it was trained on last what
        it kept is that of training, but in neither is dx.
        """
        axes, batch = self.target.layout.reduced_axes, self.batches["second"].astype(np.float64)
        shape = [1 if k in axes else n for k, n in enumerate(batch.shape)]
        state = {name: value.reshape(shape).astype(np.float64) for name, value in self.state("third").items()}
        standard = (batch - batch.mean(axis=axes, keepdims=True)) / batch.std(axis=axes, keepdims=True)
        with np.errstate(all="ignore"):
            stored = (standard * np.sqrt(state["running_var"]) + state["running_mean"]).astype(self.dy.dtype)
        return any(self._same_in_both_modes(one) for one in (stored, self.batches["third"]))

    def _same_in_both_modes(self, batch: Array) -> bool:
        """Whether dx on a batch is the same in evaluation and in training."""
        given = {"x": batch, "dy": self.dy, **self.parameters}
        try:
            trained, _ = self.target.ask(given, self.target.layout, self.eps)
            answers, _ = self.target.train(
                self.batches, self.parameters, *self.chosen, insisted=self.insisted, evaluated=batch, dy=self.dy
            )
        except TargetFailed:
            return False
        evaluated = answers.get("evaluated dx")
        return evaluated is not None and "dx" in trained and _alike(_shaped(evaluated, batch.shape), trained["dx"])

    @property
    def is_plausible(self) -> bool:
        """Whether what evaluation is to use are statistics at all."""
        state = self.state("third")
        shape = self.target.layout.statistic_shape(self.dy.shape)
        finite = all(value.shape == shape and np.isfinite(value).all() for value in state.values())
        return finite and bool((state["running_var"] + self.eps > 0).all())

    @property
    def starts_below_zero(self) -> bool:
        """Whether the running variance was negative before the first batch, as its later steps tell."""
        rule, layout, batch = self.rule, self.target.layout, self.batches["first"]
        if rule.new_weight is None or rule.variance == UNKNOWN:
            return False
        count = layout.count(batch.shape)
        factor = count / (count - 1) if rule.variance == "unbiased" else 1.0
        of_batch = rule.new_weight * factor * batch.var(axis=layout.reduced_axes).ravel()
        left = self.answers["first running_var"].ravel() - of_batch
        return bool((left < -1e-4 * np.abs(of_batch)).any())

    def changes_in_evaluation(self, name: str) -> bool:
        """Whether evaluation, which has no batch to learn from, changed a running statistic."""
        before, after = (self.answers.get(f"{when} {name}") for when in ("third", "evaluated"))
        usable = before is not None and after is not None and "evaluated y" in self.answers
        return usable and not np.array_equal(before, after, equal_nan=True)  # type: ignore[arg-type]


def _first_of_state(bug: Diagnosis, failing: Collection[str]) -> str:
    """The running statistic that a bug shows in, rather than the y that is made with it."""
    return next((name for name in bug.explains if name.startswith("new_") and name in failing), bug.gradient)


def _shaped(value: Array, shape: tuple[int, ...]) -> Array:
    return value.reshape(shape) if value.size == math.prod(shape) else value


def _alike(first: Array, second: Array) -> bool:
    """Whether two answers are the same but for rounding, NaN included."""
    if first.shape != second.shape:
        return False
    scale = float(np.abs(second).max(where=np.isfinite(second), initial=0.0))
    return bool(np.allclose(first, second, rtol=0, atol=1e-5 * scale, equal_nan=True))


def _held(
    layer: Layer, asked: Sequence[tuple[Case, Gradients]], mode: str = "", *, diagnosed: bool = True
) -> tuple[list[tuple[Case, Check]], tuple[Diagnosis, ...]]:
    """Answers held against a layer in some mode, and what is wrong with them, told by all of them together."""
    compared = [(case, got, compare(got, computed_truth(layer, case), _radii(layer, case, got))) for case, got in asked]
    checks = [(case, Check(findings(case, _renamed(compared_to, mode)))) for case, _, compared_to in compared]
    if not diagnosed or not any(one.verdict.failed for *_, found in compared for one in found.values()):
        return checks, ()
    dtypes = {np.dtype(value.dtype) for _, got in asked for name, value in got.items() if name == "y"}
    dtype = min(dtypes, key=lambda one: one.itemsize)
    known = [(case.astype(dtype), {name: value.astype(dtype) for name, value in got.items()}) for case, got in asked]

    def answered(given: Case) -> Gradients:
        """What is known of the target: its answers to these cases."""
        for case, got in known:
            if given.eps == case.eps and all(_same(*pair) for pair in _arrays(given, case)):
                return got
        raise LookupError

    bugs = diagnose(layer, answered, [case for case, _ in known])
    settled = [{**case.settings, "ddof": 1 - case.settings["ddof"]} for case, _ in known if "ddof" in case.settings]
    if settled and any(bug.id == NAMELESS for bug in bugs):  # what is divided by may be the other of the two
        cases = [replace(case, settings=own) for (case, _), own in zip(known, settled, strict=True)]
        others = diagnose(layer, answered, cases)
        bugs = bugs if any(bug.id == NAMELESS for bug in others) else others
    return checks, tuple(replace(bug, gradient=bug.gradient + mode) for bug in bugs)


def _renamed(comparisons: Mapping[str, Comparison], mode: str) -> dict[str, Comparison]:
    return {name + mode: comparison for name, comparison in comparisons.items()}


def _radii(layer: Layer, case: Case, got: Gradients) -> dict[str, Array]:
    """What single precision allows, or half where the answers are in that."""
    coarse = min((value.dtype for value in (*got.values(), np.zeros(0, np.float32))), key=lambda one: one.itemsize)
    return {name: radius.radius for name, radius in tolerance(layer, case.astype(coarse)).items()}


def _same(first: Array, second: Array) -> bool:
    return first.dtype == second.dtype and np.array_equal(first, second)


def _arrays(first: Case, second: Case) -> list[tuple[Any, Any]]:
    others = [(first.parameters[name], second.parameters[name]) for name in first.parameters]
    return [(first.x, second.x), (first.dy, second.dy), *others]


def _inverted(target: Target, usual: _Session) -> bool:
    """Whether the new batch outweighs all before it although nobody asked for that."""
    weight, sense = (target.observations.get(name) for name in ("new_weight", "momentum"))
    if weight is None or not 0.5 < weight < 1 or sense != "weight of the new":
        return False
    answers, _ = target.train(usual.batches, usual.parameters, usual.eps, momentum=0.5)
    steps = [answers[f"{batch} running_mean"].ravel() for batch in ("first", "second")]
    mean = usual.batches["second"].mean(axis=target.layout.reduced_axes).ravel()
    own = steps[0] + weight * (mean - steps[0])
    return bool(np.allclose(steps[1], own, rtol=1e-4))


def _momentum_inverted(target: Target) -> Diagnosis:
    bug = BUGS["momentum-inverted"]
    computed, right = bug.formulas(_RUNNING)
    words = f"{bug.words}: the new batch weighs {target.observations['new_weight']:g}"
    return Diagnosis(bug.id, "new_running_mean", 0.0, words, computed, right, bug.fix)
