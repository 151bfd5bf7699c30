"""Holds gradients against the truth: the computed tolerance, the errors, and one verdict for each gradient."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from bncheck.case import Array, Case, Enclosure, Gradients
from bncheck.formats import Format, is_float, working
from bncheck.layers import Layer
from bncheck.oracles import symbolic
from bncheck.tolerance.intervals import Radius

Vjp = Callable[[Case], Gradients]
"""The contract of every oracle and suspect: a case to y and its gradients, by name."""


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

    @classmethod
    def worst(cls, verdicts: list[Verdict]) -> Verdict:
        """The verdict on a whole from those on its parts: any failure, else any success, else why there is none."""
        failed = [v for v in verdicts if v.failed]
        order = list(cls)
        if failed:
            return max(failed, key=order.index)
        return min(verdicts, key=order.index, default=cls.VACUOUS)


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


def tolerance(layer: Layer, case: Case, rounds_once: Collection[str] = ()) -> dict[str, Radius]:
    """What a stable implementation may return: the definition and the closed form on midpoint-radius arrays.

    Every operation may round to the case's dtype. In a half type, the results named in `rounds_once` are those that an
    implementation computes in float32 and rounds to the half type only at the end: they may be off by that one
    rounding, and by what rounding in float32 can do.

    Returns
        y and each gradient by name, in the case's shapes; see `bncheck.tolerance.intervals.Radius` for what is bounded.

    Error
        tests/test_tolerance.py: never exceeded by the compiled gradient in a thousand cases of each dtype, wider than
        Arb's own radius, and within 100 roundoffs of the gradient's scale on well-conditioned data with m ≤ 64 (16 in
        bfloat16), or 1.1 for what is rounded once.
    """
    stored, wide = Format.of(case.dtype), Format.of(working(case.dtype))
    if stored == wide or not rounds_once:
        return radii(layer, case, stored)
    careful = {name: radius.rounded_to(stored) for name, radius in radii(layer, case, wide).items()}
    if set(careful) <= set(rounds_once):
        return careful
    return {n: careful[n] if n in rounds_once else radius for n, radius in radii(layer, case, stored).items()}


def radii(layer: Layer, case: Case, fmt: Format) -> dict[str, Radius]:
    """What the layer answers where every operation rounds to one format, in the case's shapes."""
    known = enclosed(layer, case, fmt)
    answered = (*layer.returned(known), *case.gradient_names)
    return {name: known[name].reshape(case.shape_of(name)) for name in answered}


def enclosed(layer: Layer, case: Case, fmt: Format, **instead: Any) -> dict[str, Any]:
    """Every named value and gradient on midpoint-radius arrays; `instead` names inputs that are intervals already."""
    axes = case.layout.reduced_axes

    def exact(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: Radius.exact(v, fmt) if isinstance(v, np.ndarray) else v for name, v in values.items()}

    given = exact(case.given()) | {name: value for name, value in instead.items() if name != "x"}
    x = instead.get("x", Radius.exact(case.x, fmt))
    upstream = exact(case.broadcast_upstream())
    return symbolic.run(layer, case, x, upstream, given, mean=lambda a: a.mean(axes), sqrt=np.sqrt)


def computed_truth(layer: Layer, case: Case) -> dict[str, Enclosure]:
    """The truth at NumPy's speed: the closed form in float64, as wide as its tolerance."""
    return truth_of(radii(layer, case, Format.of(np.float64)))


def truth_of(known: Mapping[str, Radius]) -> dict[str, Enclosure]:
    """Midpoint-radius arrays as enclosures of the truth."""
    return {name: Enclosure(r.midpoint, np.zeros_like(r.midpoint), r.radius) for name, r in known.items()}


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
