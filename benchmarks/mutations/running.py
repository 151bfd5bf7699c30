"""How running statistics are kept and used: read off two batches, one after the other, and an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.mutations.calls import Crashed, Source, Wrong, raised_text
from bncheck.case import Array, Case

CLOSE = 1e-9
"""How near, in float64, it all comes to its formula: a part of the largest value."""

Statistics = tuple[Array, ...]
"""A mean and a variance for each group, flat."""


@dataclass(frozen=True)
class Steps:
    """What some code answered: the running statistics after each of two batches and after the evaluation of the first.

    `y` is that of the second batch, `evaluated` that of the first in evaluation mode.
    """

    case: Case
    second: Array
    old: Statistics
    new: Statistics
    after: Statistics
    y: Array
    evaluated: Array

    @classmethod
    def of(cls, source: Source, code: str, case: Case, *, by_default: bool = False, new_weight: float = 0.1) -> Steps:
        """Asks the code; the first batch is the case's x.

        Raises
            Crashed: it raises on the way.
            Wrong: it keeps statistics of another shape.
        """
        second = case.x[..., ::-1] * 1.5 + 0.5
        try:
            session = source.begin(code, case, by_default=by_default, new_weight=new_weight)
            session.forward(case.x)
            old = session.running()
            y = session.forward(second)
            new = session.running()
            evaluated = session.evaluate(case.x)
            steps = cls(case, second, old, new, session.running(), y, evaluated)
        except TimeoutError:
            raise
        except Exception as error:
            raise Crashed(f"{raised_text(error)}, in a second batch or in evaluation") from None
        if any(value.size != case.x.size // case.count for value in (*old, *new, *steps.after)):
            raise Wrong("the running statistics have another shape")
        return steps

    def rule(self, eps: float) -> dict[str, Any]:
        """The weight of a new batch, the divisor of its variance, and from where both statistics start.

        Raises
            Wrong: the new do not follow from the old and the batch by one weight, or y not from those it belongs to.
        """
        (old_mean, old_variance), (mean, variance), batch = self.old, self.new, self._of_batch(self.second)
        weight = float(f"{np.median((mean - old_mean) / (batch[0] - old_mean)):.8g}")  # as it is written in code
        if not 0 < weight <= 1 or not _close(mean, old_mean + weight * (batch[0] - old_mean)):
            raise Wrong("the running mean")
        factors = {"biased": 1.0, "unbiased": self.case.count / (self.case.count - 1)}
        expected = {name: old_variance + weight * (f * batch[1] - old_variance) for name, f in factors.items()}
        divisor = next((name for name, value in expected.items() if _close(variance, value)), "")
        if not divisor:
            raise Wrong("the running variance")
        if not _close(self.y, self._normalized(self.second, batch, eps)):
            raise Wrong("y of a second batch")
        if not _close(self.evaluated, self._normalized(self.case.x, self.new, eps)):
            raise Wrong("y in evaluation")
        if not all(np.array_equal(*pair) for pair in zip(self.new, self.after, strict=True)):
            raise Wrong("evaluation changes the running statistics")
        rule = {"new_weight": weight, "running_variance": divisor}
        return rule if weight == 1 else {**rule, **self._start(weight, factors[divisor])}

    def _start(self, weight: float, factor: float) -> dict[str, Any]:
        """The statistics before the first batch, which a weight of one would hide."""
        first = zip(self.old, self._of_batch(self.case.x), (1.0, factor), strict=True)
        mean, variance = ((old - weight * f * batch) / (1 - weight) for old, batch, f in first)
        if variance.min() < -CLOSE:
            raise Wrong("the running variance starts below zero")
        return {
            f"start of {n}": sorted({round(float(v), 6) for v in s}) for n, s in (("mean", mean), ("var", variance))
        }

    def _of_batch(self, x: Array) -> Statistics:
        axes = self.case.layout.reduced_axes
        return x.mean(axes).ravel(), x.var(axes).ravel()

    def _normalized(self, x: Array, statistics: Statistics, eps: float) -> Array:
        shape = [1 if k in self.case.layout.reduced_axes else n for k, n in enumerate(x.shape)]
        mean, variance = (one.reshape(shape) for one in statistics)
        given = self.case.given()
        return np.asarray(given["gamma"] * (x - mean) / np.sqrt(variance + eps) + given["beta"])


def _close(got: Array, expected: Array) -> bool:
    """Whether two arrays are the same but for rounding."""
    if got.size != expected.size:
        return False
    return bool(np.abs(got.reshape(expected.shape) - expected).max() <= CLOSE * np.abs(expected).max())
