"""One case on the bench: every oracle and suspect is held against the ball truth, and the outcome is tallied."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np

from bncheck.bugs.planting import shown, unseen
from bncheck.campaign.theorems import shares
from bncheck.case import Case, Enclosure, Layout, Vjp
from bncheck.formats import Format
from bncheck.frameworks import Suspect
from bncheck.layers import Layer
from bncheck.oracles import ball, finite_difference, graph, symbolic
from bncheck.oracles.symbolic.derivation import derive
from bncheck.oracles.symbolic.theorems import Coincidence, Theorem, theorems
from bncheck.results import Counterexample, Result, Tally
from bncheck.tolerances.bounds import tolerance
from bncheck.tolerances.verdicts import Comparison, Verdict, compare, fold, told_apart

Comparisons = Mapping[str, Mapping[str, Comparison]]
"""Oracle or suspect → gradient → comparison."""


@dataclass(frozen=True)
class Bench:
    """One layer, and the suspects that are held against it beside its oracles."""

    layer: Layer
    suspects: tuple[Suspect, ...] = ()

    def examine(self, case: Case) -> Result:
        """Holds every oracle and suspect against the ball truth on one case."""
        truth = ball.vjp(self.layer, case)
        limits = _radii(self.layer, case, truth)
        vjps: dict[str, Vjp] = {"symbolic": partial(symbolic.vjp, self.layer), "graph": partial(graph.vjp, self.layer)}
        allowed = dict.fromkeys(vjps, limits)
        for suspect in (suspect for suspect in self.suspects if suspect.takes(case)):
            vjps[suspect.name] = suspect.vjp
            allowed[suspect.name] = _radii(self.layer, case, suspect.rounds_once)
        comparisons: dict[str, dict[str, Comparison]] = {}
        crashes: dict[str, str] = {}
        for name, vjp in vjps.items():
            try:
                got = vjp(case)
                if not got:
                    raise TypeError("it returned no gradient")  # noqa: TRY301  # as much a crash as any other
                comparisons[name] = compare(got, truth, allowed[name])
            except Exception as error:  # whatever somebody's code does is a finding about that code
                crashes[name] = f"{type(error).__name__}: {error}"
        amiss = {s.name: s.known_on(case) for s in self.suspects if _fails(comparisons.get(s.name, {}))}
        known = {name: words for name, words in amiss.items() if words}
        comparisons = {name: arrays for name, arrays in comparisons.items() if name not in known}
        comparisons |= _differences(self.layer, case, truth, limits)
        for name in vjps.keys() & comparisons.keys():
            comparisons[name] = told_apart(comparisons[name], vjps[name], self.layer, case)
        tallies = {"ball": _own_width(truth)} | {name: _tally(arrays) for name, arrays in comparisons.items()}
        tallies |= dict.fromkeys(crashes, Tally(Verdict.CRASHED, cases=1))
        planted = shown(self.layer, case, truth, limits)
        verdict = comparisons["symbolic"]["dx"].verdict if "symbolic" in comparisons else Verdict.VACUOUS
        return Result(
            cases=1,
            vacuous=int(verdict is Verdict.VACUOUS or (verdict is Verdict.CORRECT and bool(unseen(planted)))),
            inconclusive=int(verdict is Verdict.INCONCLUSIVE),
            tallies=tallies,
            revealed={bug: int(bool(names)) for bug, names in planted.items()},
            failures=tuple(self._failures(case, comparisons, crashes)),
            known=dict.fromkeys(known.items(), 1),
            theorems={name: _instance(used) for name, used in shares(_stated(self.layer, case), case).items()},
        )

    def _failures(self, case: Case, comparisons: Comparisons, crashes: Mapping[str, str]) -> Iterator[Counterexample]:
        arrays = {"x": case.x, "dy": case.dy, **case.parameters, **case.state, **case.upstream}
        theirs = {suspect.name: suspect.framework for suspect in self.suspects}

        def failure(subject: str, gradient: str, comparison: Comparison, detail: str = "") -> Counterexample:
            address, framework = self.layer.address, theirs.get(subject, "")
            return Counterexample(
                address, subject, gradient, case.origin, comparison, detail, arrays, framework=framework
            )

        for subject, of_subject in comparisons.items():
            for gradient, comparison in of_subject.items():
                if comparison.verdict.failed:
                    yield failure(subject, gradient, comparison)
        nothing = Comparison(Verdict.CRASHED, (), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        for subject, detail in crashes.items():
            yield failure(subject, "dx", nothing, detail)


def _stated(layer: Layer, case: Case) -> tuple[Theorem | Coincidence, ...]:
    return _theorems(layer, case.layout, tuple(case.parameters))


@lru_cache(maxsize=256)
def _theorems(layer: Layer, layout: Layout, parameters: tuple[str, ...]) -> tuple[Theorem | Coincidence, ...]:
    return theorems(derive(layer, layout, parameters))


def _instance(used: float) -> Tally:
    """What one case says of a theorem, from the share of the rounding bound that its two sides differ by."""
    return Tally(Verdict.CORRECT if used <= 1 else Verdict.WRONG, 0.0, 0.0, used, 1)


def _fails(comparisons: Mapping[str, Comparison]) -> bool:
    return any(comparison.verdict.failed for comparison in comparisons.values())


def _radii(layer: Layer, case: Case, rounds_once: Collection[str] = ()) -> dict[str, Any]:
    return {name: r.radius for name, r in tolerance(layer, case, rounds_once).items()}


def _differences(
    layer: Layer, case: Case, truth: Mapping[str, Enclosure], limits: Mapping[str, Any]
) -> dict[str, dict[str, Comparison]]:
    """The finite-difference and the complex-step oracle, in float64, each within the error it claims itself."""
    exact = case.astype(np.float64)
    rounding = limits if case.dtype == np.float64 else _radii(layer, exact)
    forward = finite_difference.definition(layer, exact)
    there = _radii(layer, finite_difference.displaced(exact))
    noise = np.maximum(finite_difference.joined(exact, rounding), finite_difference.joined(exact, there))
    estimates = finite_difference.vjp(forward, exact, noise)
    comparisons = {"finite_difference": _within_own_error(estimates, truth)}
    stepped = finite_difference.complex_step(forward, exact, rounding)
    if stepped is not None:
        comparisons["complex_step"] = _within_own_error(stepped, truth)
    return comparisons


def _within_own_error(
    estimates: Mapping[str, finite_difference.Estimate], truth: Mapping[str, Enclosure]
) -> dict[str, Comparison]:
    values = {name: e.value for name, e in estimates.items()}
    return compare(values, truth, {name: e.error for name, e in estimates.items()})


def _tally(comparisons: Mapping[str, Comparison]) -> Tally:
    conclusive = [c for c in comparisons.values() if c.verdict not in (Verdict.INCONCLUSIVE, Verdict.VACUOUS)]
    return Tally(
        fold(c.verdict for c in comparisons.values()),
        _largest(c.ulp for c in conclusive),
        _largest(c.relative_error for c in conclusive),
        _largest(c.radius_fraction for c in conclusive),
        1,
    )


def _largest(numbers: Iterable[float]) -> float:
    limit = Format.of(np.float64).largest  # JSON has no infinity
    return max((min(n, limit) if n == n else limit for n in numbers), default=0.0)


def _own_width(truth: Mapping[str, Enclosure]) -> Tally:
    """The ball oracle's tally: how wide the truth itself is."""
    widths = {name: compare({name: e.value}, {name: e}, {name: np.abs(e.remainder)})[name] for name, e in truth.items()}
    right = {name: replace(width, verdict=Verdict.CORRECT) for name, width in widths.items()}
    return replace(_tally(right), worst_radius_fraction=0.0)
