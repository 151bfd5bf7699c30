"""Which term is wrong: answers are matched with the catalogue of mutants, and fitted on the paths of the chain rule.

A mutant explains a suspect when it gives the same answers, on cases chosen so that no two bugs do, within the computed
tolerance around the mutant's own. Several bugs at once are several mutants planted together. What none explains is
described, by the weights of the three paths and by how the error moves with γ, ε and dy, and not guessed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from bncheck.bugs import staged
from bncheck.bugs.mutants import MUTANTS, RIGHT, Mutant, mutants_for, written
from bncheck.bugs.staged import Backward, Forward, Mode, Stages
from bncheck.case import Array, Case, Gradients, Layout, Vjp
from bncheck.formats import Format, is_float
from bncheck.inputs.recipes import completed
from bncheck.layers import Layer
from bncheck.tangents import tangent_of
from bncheck.tolerances.bounds import radii
from bncheck.tolerances.intervals import Radius
from bncheck.tolerances.verdicts import Verdict, wrong_or_unstable

FITTED = 4.0
"""How many tolerances an answer may be from one whose number was fitted: the fit takes up a few roundings itself."""

FAR = "far from zero"
"""The origin of a probe on which only stability is asked."""

UNKNOWN = "unknown"
"""The id of what no mutant explains."""


@dataclass(frozen=True)
class Diagnosis:
    """One bug by its name in the catalogue, or described where it has none.

    `gradient` is the first of the returned names in which it shows; `residual` how far the answer is from the mutant's,
    in units of the tolerance around that: at most 1 where the mutant explains it.
    """

    id: str
    gradient: str
    residual: float
    explanation: str
    formula_got: str
    formula_expected: str
    fix: str


def probes(
    layer: Layer,
    layout: Layout | None = None,
    shape: tuple[int, ...] | None = None,
    *,
    dtype: str = "float64",
    eps: float = 0.5,
    seed: int = 0,
) -> tuple[Case, ...]:
    """Cases on which no two bugs of the catalogue look alike.

    Variances lie below eps and above it, γ is random, the second case has fewer samples, so that counts that coincide
    in one differ in the other; the last is far from zero, where an unstable formula shows.

    >>> from bncheck.layers import LAYERS
    >>> [case.x.shape for case in probes(LAYERS["batch_norm"])]
    [(6, 4), (3, 4), (6, 4)]
    """
    layout = layout or layer.layouts[0]
    shape = shape or tuple(_SIZES[axis] for axis in layout.axes)
    batch = layout.axes.find("N")
    fewer = tuple(_fewer(size) if k == batch else size for k, size in enumerate(shape))
    rng = np.random.default_rng(seed)
    found = []
    for sizes, ddof in ((shape, 0), (fewer, 1)):
        width = [size if k not in layout.reduced_axes else 1 for k, size in enumerate(sizes)]
        spread = np.sqrt(eps) * np.exp(rng.uniform(-1.5, 1.5, size=width))
        spread.flat[0], spread.flat[-1] = 0.4 * np.sqrt(eps), 2 * np.sqrt(eps)
        x = (rng.standard_normal(sizes) + rng.normal(size=width)) * spread
        case = completed(x.astype(dtype), layer, layout, rng, eps, "diagnosis")
        may = "ddof" in case.settings and case.count > 1
        found.append(replace(case, settings={**case.settings, "ddof": ddof}) if may else case)
    far = (rng.standard_normal(shape) + 1000).astype(dtype)
    return (*found, completed(far, layer, layout, rng, eps, FAR))


_SIZES = {"N": 6, "C": 4, "L": 5, "H": 2, "W": 3, "D": 5, "G": 2, "K": 3}


def _fewer(size: int) -> int:
    return size // 2 if size > 3 else size + 2


def diagnose(layer: Layer, vjp: Vjp, cases: Sequence[Case] | None = None) -> tuple[Diagnosis, ...]:
    """What is wrong with an implementation of a layer, the forward pass first; nothing where it is right.

    `cases` are those on which it is asked, `probes` by default. A case on which it raises tells nothing: where it
    raises on all, nothing is found.

    >>> from bncheck.layers import LAYERS
    >>> [bug.id for bug in diagnose(LAYERS["batch_norm"], MUTANTS["mean-path-missing"].vjp)]
    ['mean-path-missing']
    """
    trials, effects = [], dict[str, str]()
    for case in probes(layer) if cases is None else cases:
        try:
            got, effect = _asked(vjp, case)
        except Exception:  # what it cannot be asked tells nothing
            continue
        effects |= effect
        trials.append(_Trial(layer, case, got))
    near = tuple(trial for trial in trials if trial.case.origin != FAR)
    failing = [trial for trial in trials if trial.failing()]
    if any(trial in near and _is_wrong(vjp, trial) for trial in failing):
        found = tuple(_Search(layer, near, vjp).diagnoses())
    else:
        found = tuple(_unstable(layer, trial) for trial in failing[-1:])
    return (*found, *(_named(MUTANTS[bug], layer, 0.0, name) for bug, name in effects.items()))


def _is_wrong(vjp: Vjp, trial: _Trial) -> bool:
    """Whether something is wrong here, and not only unstable."""
    verdicts = (wrong_or_unstable(vjp, trial.layer, trial.case, name) for name in trial.failing())
    return any(verdict is Verdict.WRONG for verdict in verdicts)


def _asked(vjp: Vjp, case: Case) -> tuple[Gradients, dict[str, str]]:
    """The answer, and which effects on the caller's arrays it had beside, with where they show."""
    given = replace(case)
    held = {"x": given.x, "dy": given.dy, **given.parameters, **given.state}
    for array in held.values():
        array.setflags(write=True)
    got = {name: np.array(value) for name, value in vjp(given).items()}
    before = {"x": case.x, "dy": case.dy, **case.parameters, **case.state}
    changed = [name for name, array in held.items() if not np.array_equal(array, before[name])]
    effects = {"state-changed" if name in case.state else "mutates-input": name for name in reversed(changed)}
    other = [name for name, value in got.items() if value.dtype != case.dtype]
    return got, effects | ({"dtype-changed": other[0]} if other else {})


Dials = tuple[Forward, Backward]
PLAIN: Dials = (Forward(), Backward())


class _Trial:
    """One case, what a suspect answered, and what mutants would have answered."""

    def __init__(self, layer: Layer, case: Case, got: Gradients) -> None:
        self.layer, self.case = layer, case
        narrow = min((case.dtype, *(a.dtype for a in got.values() if is_float(a.dtype))), key=lambda d: d.itemsize)
        self.format = Format.of(narrow)
        self.dtype = narrow
        self.got = {name: value for name, value in got.items() if is_float(value.dtype)}
        self._stages: dict[Forward, Stages] = {}

    @cached_property
    def right(self) -> dict[str, Radius]:
        """The layer's own answer."""
        return radii(self.layer, self.case, self.format)

    def failing(self) -> tuple[str, ...]:
        """The returned names that are not within the tolerance of the layer's own answer."""
        return tuple(n for n, value in self.got.items() if n in self.right and _residual(value, self.right[n]) > 1)

    @cached_property
    def telling(self) -> tuple[str, ...]:
        """The returned names that tell anything in this precision."""
        known = {name: value for name, value in self.got.items() if name in self.right}
        failing = self.failing()
        return tuple(n for n, value in known.items() if n in failing or _is_conclusive(value, self.right[n]))

    def stages(self, dials: Forward) -> Stages:
        """The stages of a forward pass on midpoint-radius arrays."""
        if dials not in self._stages:
            lifted = partial(Radius.exact, fmt=self.format)
            self._stages[dials] = staged.forward(self.layer, self.case, dials, lifted)
        return self._stages[dials]

    def values(self, dials: Forward) -> Mapping[str, Radius]:
        """What a mutant returns beside gradients."""
        return staged.returned(self.layer, self.stages(dials))

    def gradients(self, dials: Dials) -> Mapping[str, Radius]:
        """A mutant's gradients."""
        with np.errstate(all="ignore"):
            return staged.backward(self.stages(replace(dials[0], forgets=frozenset())), dials[1])

    def residual(self, dials: Dials, names: Iterable[str]) -> float:
        """How far the answer is from a mutant's, at worst among these names, in units of the tolerance around it."""
        names = [name for name in names if name in self.telling]
        found: dict[str, Radius] = {}
        if any(name not in self.case.gradient_names for name in names):
            found |= self.values(dials[0])
        if any(name in self.case.gradient_names for name in names):
            found |= self.gradients(dials)
        worst = [_residual(self.got[name], found[name]) for name in names]
        known = all(_is_conclusive(self.got[name], found[name]) for name in names)
        return max(worst, default=0.0) if known else math.inf

    def away(self, dials: Dials, names: Iterable[str]) -> Array:
        """The answer less a mutant's, all names in a row, each in units of its largest element."""
        stages = staged.forward(self.layer, self.case.astype(np.float64), dials[0])
        parts = []
        with np.errstate(all="ignore"):
            there = {**staged.returned(self.layer, stages), **staged.backward(stages, dials[1])}
            for name in names:
                same = there[name].shape == self.got[name].shape
                off = self.got[name] - there[name] if same else np.full(self.got[name].shape, np.inf)
                parts.append(off.ravel() / np.abs(self.right[name].midpoint).max())
        return np.concatenate(parts)


def _least(trial: _Trial, planted: Callable[[float], Dials], names: Sequence[str]) -> float:
    """The factor at which an answer is least away: the best of a coarse scale, then Gauss and Newton's steps."""

    def at(exponent: float) -> Array:
        return trial.away(planted(math.exp(exponent)), names)

    scale = np.linspace(-30, 15, 91)
    with np.errstate(all="ignore"):
        lengths = [float(np.linalg.norm(at(t))) for t in scale]
        exponent = float(scale[int(np.argmin(np.nan_to_num(lengths, nan=np.inf)))])
        for _ in range(20):
            slope = (at(exponent + 1e-6) - at(exponent - 1e-6)) / 2e-6
            step = float(slope @ at(exponent)) / (float(slope @ slope) or 1.0)
            if not math.isfinite(step):
                break
            exponent -= min(max(step, -0.5), 0.5)
    return math.exp(min(max(exponent, -40.0), 40.0))


def _weights(trial: _Trial, base: Dials, name: str) -> tuple[float, float, float, float]:
    """The least-squares weights of the direct, mean and variance paths in dx, and what share of it they leave over."""
    stages = staged.forward(trial.layer, trial.case.astype(np.float64), base[0])
    columns = []
    for only in ("direct", "mean_path", "variance_path"):
        weights = {path: float(path == only) for path in ("direct", "mean_path", "variance_path")}
        alone = replace(base[1], **weights)  # type: ignore[arg-type]  # mypy takes them for every field
        columns.append(staged.backward(stages, alone)[name].ravel())
    paths, got = np.stack(columns, axis=1), trial.got[name].astype(np.float64).ravel()
    fitted, *_ = np.linalg.lstsq(paths, got, rcond=None)
    left = float(np.linalg.norm(got - paths @ fitted) / (np.linalg.norm(got) or 1))
    return float(fitted[0]), float(fitted[1]), float(fitted[2]), left


def _residual(got: Array, there: Radius) -> float:
    """The largest distance in units of its radius; NaN where every radius is infinite, so that nothing is known."""
    if got.shape != there.shape:
        return math.inf
    known = np.isfinite(there.radius)
    if not known.any():
        return math.nan
    with np.errstate(all="ignore"):
        distance = np.abs(got - there.midpoint)[known]
        fraction = np.where(distance == 0, 0.0, distance / there.radius[known])
    return float(np.where(np.isnan(fraction), math.inf, fraction).max())


def _is_conclusive(got: Array, there: Radius) -> bool:
    """Whether agreement with a mutant says anything: where its tolerance is as wide as the answer it does not."""
    known = np.isfinite(there.radius)
    size = np.abs(got).max(where=np.isfinite(got), initial=0.0)
    return bool(2 * known.sum() > known.size and (np.median(there.radius[known]) < size / 2 or not size))


@dataclass(frozen=True)
class _Planted:
    """Mutants planted together, how far they are from the answer, and the names that they do not explain."""

    mutants: tuple[Mutant, ...]
    dials: Dials
    residual: float
    left: tuple[str, ...] = ()

    def and_also(self, part: _Planted | None, names: tuple[str, ...]) -> _Planted:
        """With what explains the names of another part, if anything does."""
        if part is None:
            return replace(self, left=(*self.left, *names))
        more = tuple(mutant for mutant in part.mutants if mutant not in self.mutants)
        return _Planted((*self.mutants, *more), self.dials, max(self.residual, part.residual), self.left)


class _Search:
    """Finds the fewest mutants that together answer as the suspect does."""

    def __init__(self, layer: Layer, trials: tuple[_Trial, ...], vjp: Vjp) -> None:
        self.layer, self.trials, self.vjp = layer, trials, vjp
        bugs: dict[str, Mutant] = {}
        for trial in trials if staged.knows(layer) else ():
            bugs |= mutants_for(layer, trial.case)
        self.bugs = [mutant for name, mutant in MUTANTS.items() if name in bugs]
        gradients = trials[0].case.gradient_names
        self.dx = tuple(name for name in gradients if name in ("dx", tangent_of("dx")))
        self.parameters = tuple(name for name in gradients if name not in self.dx)
        self.values = tuple(name for name in trials[0].right if name not in gradients)
        self.failing = tuple(dict.fromkeys(name for trial in trials for name in trial.failing()))

    def diagnoses(self) -> Iterator[Diagnosis]:
        """What explains all that fails, by one mutant if possible, else part by part."""
        found = self.single()
        if found is not None:
            yield self.named(*found)
            return
        if self.trials[0].dtype.itemsize < 4:  # too coarse to tell several bugs apart
            yield from self.unknown(self.failing)
            return
        options = self.of_forward()
        if not options:
            fitted = self.fitted_eps(self.values, PLAIN, in_forward=True)
            if fitted is None:
                yield from self.unknown(self.values)
                return
            yield fitted[0]
            options = [_Planted((), fitted[1], fitted[0].residual)]
        best = min((self.of_backward(option) for option in options), key=lambda p: (len(p.left), len(p.mutants)))
        base = best.dials
        yield from (self.named(mutant, best.residual) for mutant in best.mutants)
        if best.left and (fitted := self.fitted_eps(best.left, base, in_forward=False)):
            yield fitted[0]
        elif best.left and (counted := self.fitted_count(best.left, base)):
            yield counted
        else:
            yield from self.unknown(best.left)

    def single(self) -> tuple[Mutant, float] | None:
        """The mutant that explains everything by itself, if one does: the nearest."""
        names = (*self.values, *self.dx, *self.parameters)
        found = ((mutant, self.residual(_dials(mutant), names)) for mutant in self.bugs)
        return min((pair for pair in found if pair[1] <= 1), key=lambda pair: pair[1], default=None)

    def residual(self, dials: Dials, names: Iterable[str]) -> float:
        names, worst = tuple(names), 0.0
        for trial in self.trials:
            worst = max(worst, trial.residual(dials, names))
            if worst > 1:
                break
        return worst

    def fewest(self, mutants: Sequence[Mutant], names: Iterable[str], base: Dials) -> _Planted | None:
        """The fewest of these mutants, two at most, that together with `base` explain these names."""
        names = tuple(name for name in names if name in self.trials[0].got)
        for size in (0, 1, 2):
            found = []
            for chosen in itertools.combinations(mutants, size):
                dials = _joined(base, *map(_dials, chosen))
                if dials is not None and (residual := self.residual(dials, names)) <= 1:
                    found.append(_Planted(chosen, dials, residual))
            if found:
                return min(found, key=lambda planted: planted.residual)
        return None

    def of_forward(self) -> list[_Planted]:
        """What explains the forward pass: mutants with the backward pass of their own forward, or the usual one."""
        mutants = [mutant for mutant in self.bugs if mutant.forward_dials != Forward()]
        own = [mutant for mutant in mutants if mutant.backward_dials == Backward()]
        found = self.fewest(own, self.values, PLAIN)
        if found is None:
            return []
        options = [found]
        usual = {mutant.forward_dials: mutant for mutant in mutants if mutant not in own}
        for k, chosen in enumerate(found.mutants):
            if chosen.forward_dials in usual:
                several = (*found.mutants[:k], usual[chosen.forward_dials], *found.mutants[k + 1 :])
                options += [
                    _Planted(several, (found.dials[0], Backward(usual=how)), found.residual)
                    for how in ("closed", "chain")
                ]
        return options

    def of_backward(self, forward: _Planted) -> _Planted:
        """The same with what explains the gradients beside, and the names that nothing explains."""
        mutants = [mutant for mutant in self.bugs if mutant.forward_dials == Forward()]
        everywhere = [m for m in mutants if "dx" in m.shows and m.shows & {"dgamma", "dbeta"}]
        only_dx = [m for m in mutants if m.shows == {"dx"}]
        only_parameters = [m for m in mutants if "dx" not in m.shows]
        options = []
        for shared in ((), *((mutant,) for mutant in everywhere)):
            dials = _joined(forward.dials, *map(_dials, shared))
            if dials is None:
                continue
            option = _Planted((*forward.mutants, *shared), dials, forward.residual)
            parts = [(only_dx, self.dx), *((only_parameters, (name,)) for name in self.parameters)]
            for pool, names in parts:
                option = option.and_also(self.fewest(pool, names, dials), names)
            options.append(option)
        return min(options, key=lambda option: (len(option.left), len(option.mutants)))

    def fitted_eps(self, names: Iterable[str], base: Dials, *, in_forward: bool) -> tuple[Diagnosis, Dials] | None:
        """An eps other than the one given, where one explains these names: its value is found trial by trial."""
        names, factors, worst = [name for name in names if name in self.trials[0].got], [], 0.0
        if not self.bugs or not names:
            return None

        def planted(factor: float) -> Dials:
            if in_forward:
                return replace(base[0], eps_factor=factor), base[1]
            return base[0], replace(base[1], eps_factor=factor)

        for trial in self.trials:
            factors.append(_least(trial, planted, names))
            worst = max(worst, trial.residual(planted(factors[-1]), names))
            if worst > FITTED:
                return None
        mutant = MUTANTS["eps-ignored" if in_forward else "eps-mismatch"]
        found = self.named(mutant, worst)
        first = self.trials[0].case
        told = f"{mutant.words}: {first.eps * factors[0]:.6g} where {first.eps:g} was given"
        return replace(found, explanation=told), planted(factors[-1])

    def fitted_count(self, names: Iterable[str], base: Dials) -> Diagnosis | None:
        """A divisor other than m in the two paths through the statistics, where one explains dx."""
        names, counts, worst = [name for name in names if name in self.trials[0].got], [], 0.0
        for trial in self.trials if len(names) == 1 else ():
            direct, through = _weights(trial, base, names[0])[:2]
            if abs(direct - 1) > 1e-3 or not through > 0:
                return None
            backward = replace(base[1], mean_path=through, variance_path=through)
            worst = max(worst, trial.residual((base[0], backward), names))
            counts.append(trial.case.count / through)
            if worst > FITTED or abs(counts[-1] - round(counts[-1])) > 1e-3:
                return None
        if not counts:
            return None
        mutant = MUTANTS["count-wrong"]
        told = " and ".join(f"{n:.0f} where m is {t.case.count}" for n, t in zip(counts, self.trials, strict=True))
        return replace(self.named(mutant, worst), explanation=f"{mutant.words}: {told}")

    def named(self, mutant: Mutant, residual: float) -> Diagnosis:
        shown = [name for name in self.failing if name.removesuffix("_tangent") in mutant.shows]
        return _named(mutant, self.layer, residual, shown[0] if shown else next(iter(self.failing)))

    def unknown(self, names: Iterable[str]) -> Iterator[Diagnosis]:
        """A description of each of these names that fails."""
        for name in names:
            if name in self.failing:
                yield _described(self.layer, self.trials, self.vjp, name)


def _dials(mutant: Mutant) -> Dials:
    return mutant.forward_dials, mutant.backward_dials


def _joined(*several: Dials) -> Dials | None:
    """All turned at once; None where they turn the same dial to different places."""
    forward: dict[str, Any] = {}
    backward: dict[str, Any] = {}
    for dials in several:
        for turned, more in ((forward, _turned(dials[0])), (backward, _turned(dials[1]))):
            if any(turned.get(name, value) != value for name, value in more.items()):
                return None
            turned |= more
    return Forward(**forward), Backward(**backward)


def _turned(dials: Forward | Backward) -> dict[str, Any]:
    return {f.name: getattr(dials, f.name) for f in fields(dials) if getattr(dials, f.name) != f.default}


def _named(mutant: Mutant, layer: Layer, residual: float, gradient: str) -> Diagnosis:
    got, right = mutant.formulas(layer)
    return Diagnosis(mutant.id, gradient, residual, mutant.words, got, right, mutant.fix)


def _described(layer: Layer, trials: Sequence[_Trial], vjp: Vjp, name: str) -> Diagnosis:
    """What can be said of an answer that nothing explains: by how much it is off, by its paths, and what moves that."""
    first = next(trial for trial in trials if name in trial.failing())
    error = _relative_error(first, name)
    parts = [f"{name} is off by {error:.2g} of its largest element, for no reason that bncheck knows"]
    if first.got[name].shape != first.right[name].shape:
        parts = [f"{name} has shape {first.got[name].shape}, expected {first.right[name].shape}"]
    elif not math.isfinite(error):
        parts = [f"{name} is not finite"]
    else:
        if name in ("dx", tangent_of("dx")) and staged.knows(layer) and Mode.of(layer).batch:
            direct, mean, variance, left = _weights(first, PLAIN, name)
            parts.append(
                f"the closest sum of its paths is {direct:.3g} × direct + {mean:.3g} × mean"
                f" + {variance:.3g} × variance, which leaves {left:.2g} of it"
            )
        parts += list(_moved(layer, first, vjp, name, error))
        sizes = [(trial.case.count, trial.case.x.size // trial.case.count, trial) for trial in trials]
        told = [f"{_relative_error(trial, name):.2g} at m = {m} in {groups} groups" for m, groups, trial in sizes]
        parts.append(f"the error is {' and '.join(told)}")
    right = written(name, layer) if name in RIGHT else ""
    return Diagnosis(UNKNOWN, name, math.inf, "; ".join(parts), "", right, COMPARE)


COMPARE = "Compare it with the source that bncheck derive --format numpy prints."


def _relative_error(trial: _Trial, name: str) -> float:
    got, right = trial.got[name], trial.right[name].midpoint
    if got.shape != right.shape:
        return math.inf
    scale = np.abs(right).max()
    return float(np.abs(got - right).max() / scale) if scale else math.inf


def _moved(layer: Layer, trial: _Trial, vjp: Vjp, name: str, error: float) -> Iterator[str]:
    """How the error changes as γ, ε and dy do, one at a time."""
    case = trial.case
    larger = {
        "γ doubled": {"parameters": {n: 2 * a if n == "gamma" else a for n, a in case.parameters.items()}},
        "ε 16 times as large": {"eps": 16 * case.eps},
        "dy doubled": {"dy": 2 * case.dy},
    }
    if "gamma" not in case.parameters:
        del larger["γ doubled"]
    for words, changed in larger.items():
        moved = replace(case, **changed)  # type: ignore[arg-type]  # likewise
        try:
            ratio = _relative_error(_Trial(layer, moved, _asked(vjp, moved)[0]), name) / error
        except Exception:  # it need not take this case
            continue
        yield f"{'unchanged' if abs(ratio - 1) < 1e-6 else f'{ratio:.2g} times that'} with {words}"


def _unstable(layer: Layer, trial: _Trial) -> Diagnosis:
    """What is right but far from zero: a one-pass variance where it is one, else described."""
    name = trial.failing()[0]
    error = _relative_error(trial, name)
    where = f"{name} is off by {error:.2g}"
    where += " where the mean is 1000 times the width" if trial.case.origin == FAR else " in low precision alone"
    if _is_one_pass(trial):
        found = _named(MUTANTS["one-pass-variance"], layer, 0.0, name)
        return replace(found, explanation=f"{found.explanation}: {where}")
    told = f"{where}: a sum cancels, no formula is wrong"
    return Diagnosis(UNKNOWN, name, math.inf, told, "", written(name, layer) if name in RIGHT else "", COMPARE)


def _is_one_pass(trial: _Trial) -> bool:
    """Whether y is right but for one factor in each group, as far off as the rounding of a mean of squares explains."""
    case, layer = trial.case, trial.layer
    if "y" not in trial.got or not staged.knows(layer) or not Mode.of(layer).batch or Mode.of(layer).tangents:
        return False
    axes = case.layout.reduced_axes
    stages = staged.forward(layer, case.astype(np.float64))
    pure = stages.gamma * stages.xhat
    with np.errstate(all="ignore"):
        got = trial.got["y"] - stages.beta
        factor = (got * pure).sum(axis=axes, keepdims=True) / (pure * pure).sum(axis=axes, keepdims=True)
        rest = np.abs(got - factor * pure)
        spoiled = (stages.var + case.eps) / (factor * factor) - case.eps - stages.var
        square = np.mean(stages.x * stages.x, axis=axes, keepdims=True)
    allowed = trial.right["y"].radius * np.maximum(1, np.abs(factor))
    cancelled = np.abs(spoiled) <= 4 * trial.format.roundoff * case.count * square
    lost = np.isnan(got).any(axis=axes, keepdims=True) | cancelled
    spoils = not (np.abs(factor - 1) <= 100 * trial.format.roundoff).all()  # by more than two passes would
    return bool(spoils and ((rest <= 4 * allowed) | np.isnan(rest)).all() and lost.all())
