"""Holds gradients against the truth: errors, one verdict for each gradient, and one for many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from bncheck.case import Array, Case, Enclosure, Gradients, Vjp
from bncheck.formats import Format, is_float
from bncheck.layers import Layer
from bncheck.tolerances.bounds import computed_truth, tolerance


class Verdict(StrEnum):
    """What is known about a gradient; the later ones outweigh the earlier."""

    CORRECT = "correct"
    VACUOUS = "vacuous"
    INCONCLUSIVE = "inconclusive"
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
        if np.shape(got) != truth[name].value.shape:
            got = np.full(truth[name].value.shape, np.nan)
        found[name] = judge(np.asarray(got), truth[name], allowed[name])
    return found


def wrong_or_unstable(vjp: Vjp, layer: Layer, case: Case, name: str) -> Verdict:
    """Tells a wrong formula from an unstable one: an unstable one's error follows the precision, a wrong one's stays.

    The same numbers, rounded to the lower precision, are run in both; half the bits between them decide. Numbers that
    leave the lower precision's range are brought down to 1 instead: an unstable formula is right there.
    """
    low_dtype = np.dtype(np.float32) if case.dtype == np.float64 else case.dtype
    try:
        if np.abs(case.x).max() > Format.of(low_dtype).largest:
            tame = replace(case, x=case.x / np.abs(case.x).max())
            allowed = tolerance(layer, tame)[name].radius
            found = judge(np.asarray(vjp(tame)[name]), computed_truth(layer, tame)[name], allowed)
            return Verdict.WRONG if found.verdict is Verdict.WRONG else Verdict.UNSTABLE
        low = case.astype(low_dtype)
        high = low.astype(np.float64)
        truth = computed_truth(layer, high)[name]
        error_low = float(truth.distance(vjp(low)[name]).max())
        error_high = float(truth.distance(vjp(high)[name]).max())
    except Exception:  # a suspect that knows only one precision gets no benefit of the doubt
        return Verdict.WRONG
    if not np.isfinite(error_high):
        return Verdict.WRONG
    if not np.isfinite(error_low):
        return Verdict.UNSTABLE
    halfway = float(np.sqrt(Format.of(np.float64).roundoff / Format.of(low_dtype).roundoff))
    return Verdict.UNSTABLE if error_high < halfway * error_low else Verdict.WRONG
