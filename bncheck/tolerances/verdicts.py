"""Holds gradients against the truth: errors, one verdict for each gradient, and one for many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from bncheck.case import Array, Case, Enclosure, Gradients, Vjp
from bncheck.formats import Format, is_float
from bncheck.inputs.recipes import completed
from bncheck.layers import Layer
from bncheck.tolerances.bounds import computed_truth, tolerance


class Verdict(StrEnum):
    """What is known about a gradient; the later ones outweigh the earlier.

    Two are said of a whole implementation only: what was asked is right, but not all that the layer has was asked; and
    that it is not written yet.
    """

    CORRECT = "correct"
    INCOMPLETE = "incomplete"
    VACUOUS = "vacuous"
    INCONCLUSIVE = "inconclusive"
    UNFINISHED = "unfinished"
    UNSTABLE = "unstable"
    WRONG = "wrong"
    CRASHED = "crashed"

    @property
    def failed(self) -> bool:
        """Whether something is amiss with the code, rather than with the case."""
        return self in (Verdict.UNSTABLE, Verdict.WRONG, Verdict.CRASHED)


def fold(verdicts: Iterable[Verdict], *, every: bool = False) -> Verdict:
    """The verdict on a whole from those on its parts; there is no other place where several become one.

    A part that failed decides, the gravest first. Else the parts are one question asked several times, which one
    success answers, whatever other cases could not show; or, with `every`, several questions, of which each must be
    answered. Where there is nothing to fold nothing was asked, which is vacuous.

    >>> str(fold([Verdict.VACUOUS, Verdict.CORRECT])), str(fold([Verdict.VACUOUS, Verdict.CORRECT], every=True))
    ('correct', 'vacuous')
    >>> str(fold([Verdict.CORRECT, Verdict.UNSTABLE, Verdict.WRONG]))
    'wrong'
    """
    parts, order = list(verdicts), list(Verdict)
    failed = [verdict for verdict in parts if verdict.failed]
    return (max if failed or every else min)(failed or parts, key=order.index, default=Verdict.VACUOUS)


@dataclass(frozen=True)
class Comparison:
    """One array held against the truth.

    The element shown is the one that uses up most of its tolerance. `relative_error` and `ulp` are in units of the
    gradient's scale, the largest absolute value of its truth; `radius_fraction` in units of the element's tolerance.
    `shapes` are those that were returned and expected, where they differ; there is no element to show then.

    Units
        `error` and `tolerance` are absolute; `relative_error`, `ulp` and `radius_fraction` as said.
    """

    verdict: Verdict
    index: tuple[int, ...]
    got: float
    expected: float
    error: float
    tolerance: float
    relative_error: float
    ulp: float
    radius_fraction: float
    shapes: tuple[tuple[int, ...], tuple[int, ...]] | None = None


def judge(got: Array, truth: Enclosure, allowed: Array) -> Comparison:
    """The verdict on one array; wrong here may turn out as unstable, see `wrong_or_unstable`.

    An element is wrong when its distance from the truth exceeds what is allowed and what the truth itself leaves open.
    Nothing can be concluded where every element could as well be zero within its tolerance, and the comparison is
    vacuous where zero is the truth.
    """
    distance = truth.distance(got)
    limit = allowed + truth.radius
    size = np.abs(truth.value)
    with np.errstate(all="ignore"):
        fraction = np.where(np.isinf(limit), 0.0, np.where(distance == 0, 0.0, distance / limit))
    fraction = np.where(np.isnan(fraction), np.inf, fraction)
    index = tuple(int(k) for k in np.unravel_index(int(fraction.argmax()), fraction.shape))
    if (fraction > 1).any():
        verdict = Verdict.WRONG
    elif truth.may_be_zero().all():
        verdict = Verdict.VACUOUS
    elif not (limit < size).any():
        verdict = Verdict.INCONCLUSIVE
    else:
        verdict = Verdict.CORRECT
    scale = float(size.max())
    error = float(distance[index])
    spacing = float(np.spacing(np.asarray(min(scale, Format.of(got.dtype).largest / 2), dtype=got.dtype)))
    return Comparison(
        verdict,
        index,
        float(got[index]),
        float(truth.value[index]),
        error,
        float(limit[index]),
        error / scale if scale else (0.0 if error == 0 else float("inf")),
        error / spacing,
        float(fraction[index]),
    )


def compare(
    gradients: Gradients, truth: Mapping[str, Enclosure], allowed: Mapping[str, Array]
) -> dict[str, Comparison]:
    """The verdict on each array that was returned, by name; an array of another shape is wrong as a whole.

    Raises
        TypeError: an array holds no floating-point numbers.
    """
    found = {}
    for name, got in gradients.items():
        if not is_float(np.asarray(got).dtype):
            raise TypeError(f"{name} holds {np.asarray(got).dtype}, not floating-point numbers")
        shapes = np.shape(got), truth[name].value.shape
        if shapes[0] == shapes[1]:
            found[name] = judge(np.asarray(got), truth[name], allowed[name])
        else:
            nowhere = judge(np.full(shapes[1], np.nan), truth[name], allowed[name])
            found[name] = replace(nowhere, verdict=Verdict.WRONG, shapes=shapes)
    return found


def told_apart(comparisons: Mapping[str, Comparison], vjp: Vjp, layer: Layer, case: Case) -> dict[str, Comparison]:
    """The comparisons, with what is unstable told from what is wrong."""
    return {
        name: replace(c, verdict=wrong_or_unstable(vjp, layer, case, name))
        if c.verdict is Verdict.WRONG and not c.shapes
        else c
        for name, c in comparisons.items()
    }


def wrong_or_unstable(vjp: Vjp, layer: Layer, case: Case, name: str) -> Verdict:
    """Tells a wrong formula from an unstable one, whose error must be seen to be rounding.

    Rounding does no harm where nothing cancels: what is outside the tolerance on tame numbers of the case's own dtype
    is wrong, whatever it does in another. Then it is erratic, other for numbers next to these; or else, as where a
    result leaves the format's range, it goes away in a higher precision: half the bits between the two decide.
    """
    try:
        if any(_is_outside(vjp, layer, tame, name) for tame in _tame(layer, case)):
            return Verdict.WRONG
        if _is_erratic(vjp, layer, case, name) or _goes_away(vjp, layer, case, name):
            return Verdict.UNSTABLE
    except Exception:  # a suspect that cannot be asked about more than its own case gets no benefit of the doubt
        return Verdict.WRONG
    return Verdict.WRONG


def _tame(layer: Layer, case: Case) -> Iterator[Case]:
    """Cases like this one on which nothing cancels: x spreads widely, or as much as √ε tells, around half of that.

    The second, on which eps weighs as much as the variance, is left out where its squares leave the dtype's range.
    """
    rng = np.random.default_rng(0)
    unit = 0.5 + rng.standard_normal(case.x.shape)
    small = case.eps > 64 * Format.of(case.dtype).normal
    for spread in (1.0, float(np.sqrt(case.eps))) if small else (1.0,):
        x = (spread * unit).astype(case.dtype)
        drawn = completed(x, layer, case.layout, rng, case.eps, "tame")
        own = {name: drawn.parameters[name] for name in case.parameters}
        yield replace(drawn, parameters=own, settings=case.settings)


def _is_outside(vjp: Vjp, layer: Layer, case: Case, name: str) -> bool:
    allowed = tolerance(layer, case)[name].radius
    return judge(np.asarray(vjp(case)[name]), computed_truth(layer, case)[name], allowed).verdict is Verdict.WRONG


def _is_erratic(vjp: Vjp, layer: Layer, case: Case, name: str) -> bool:
    """Whether the error is quite another where each x is moved to a number next to it.

    Nothing is told where such a move is no small one beside the spread: a smooth error would change with it, too.
    """
    x, step = case.x.astype(np.float64), 2 * Format.of(case.dtype).roundoff
    if not step * np.abs(x).max() < _SMALL * float(x.std(axis=case.layout.reduced_axes).min()):
        return False
    errors, rng = [], np.random.default_rng(0)
    for moved in range(4):
        signs = rng.integers(-1, 2, size=x.shape) if moved else np.zeros(x.shape)
        near = replace(case, x=(x * (1 + step * signs)).astype(case.dtype))
        truth, got = computed_truth(layer, near)[name], np.asarray(vjp(near)[name], dtype=np.float64)
        errors.append(got - truth.value)
    change = max(float(np.abs(error - errors[0]).max()) for error in errors[1:])
    return bool(change > np.abs(errors[0]).max() / 4)


_SMALL = 1e-3
"""How small a step must be in units of the spread."""


def _goes_away(vjp: Vjp, layer: Layer, case: Case, name: str) -> bool:
    """Whether the same numbers, rounded to the lower of two precisions, are answered far better in the higher."""
    low_dtype = np.dtype(np.float32) if case.dtype == np.float64 else case.dtype
    if np.abs(case.x).max() > Format.of(low_dtype).largest:
        return True  # a formula that is right on tame numbers, and on these leaves the range of float64
    low = case.astype(low_dtype)
    high = low.astype(np.float64)
    truth = computed_truth(layer, high)[name]
    error_low = float(truth.distance(vjp(low)[name]).max())
    error_high = float(truth.distance(vjp(high)[name]).max())
    if not np.isfinite(error_high) or not np.isfinite(error_low):
        return bool(np.isfinite(error_high))
    halfway = float(np.sqrt(Format.of(np.float64).roundoff / Format.of(low_dtype).roundoff))
    return error_high < halfway * error_low
