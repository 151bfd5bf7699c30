"""One case on the bench: every oracle and suspect is held against the ball truth, and the outcome is tallied."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any, TypeVar

import numpy as np

from bncheck.bugs.mutants import shown, unseen
from bncheck.campaign.theorems import shares
from bncheck.case import Case, Enclosure, Layout
from bncheck.formats import Format
from bncheck.frameworks import Suspect
from bncheck.layers import Layer
from bncheck.oracles import ball, finite_difference, graph, symbolic
from bncheck.oracles.symbolic.derivation import derive
from bncheck.oracles.symbolic.theorems import Coincidence, Theorem, theorems
from bncheck.tolerance.verdicts import Comparison, Verdict, Vjp, compare, tolerance, wrong_or_unstable

Findings = Mapping[str, Mapping[str, Comparison]]
"""Oracle or suspect → gradient → comparison."""

_Key = TypeVar("_Key")


@dataclass(frozen=True)
class Tally:
    """What one oracle or suspect did over many cases; the worst figures are over the conclusive ones."""

    verdict: Verdict = Verdict.VACUOUS
    worst_ulp: float = 0.0
    worst_relative_error: float = 0.0
    worst_radius_fraction: float = 0.0
    cases: int = 0

    def and_also(self, other: Tally) -> Tally:
        """Both tallies as one."""
        return Tally(
            Verdict.worst([tally.verdict for tally in (self, other) if tally.cases]),
            max(self.worst_ulp, other.worst_ulp),
            max(self.worst_relative_error, other.worst_relative_error),
            max(self.worst_radius_fraction, other.worst_radius_fraction),
            self.cases + other.cases,
        )


@dataclass(frozen=True)
class Counterexample:
    """The smallest case found on which somebody disagrees with the truth, and the element where it shows."""

    layer: str
    subject: str
    gradient: str
    case: str
    comparison: Comparison
    detail: str = ""
    arrays: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True)
class Result:
    """The outcome of some cases: what every subject did, and what went wrong first.

    `revealed` counts, for each planted bug, the cases that would have caught it; `known` counts, for each suspect and
    what is known to be amiss with it, the cases on which it failed so, and which its tally therefore leaves out.
    `theorems` tells, for each theorem, whether the numbers of all cases bear it out.
    """

    cases: int = 0
    vacuous: int = 0
    inconclusive: int = 0
    tallies: Mapping[str, Tally] = field(default_factory=dict)
    revealed: Mapping[str, int] = field(default_factory=dict)
    failures: tuple[Counterexample, ...] = ()
    known: Mapping[tuple[str, str], int] = field(default_factory=dict)
    theorems: Mapping[str, Tally] = field(default_factory=dict)

    def and_also(self, other: Result) -> Result:
        """Both results as one."""
        return Result(
            self.cases + other.cases,
            self.vacuous + other.vacuous,
            self.inconclusive + other.inconclusive,
            _together(self.tallies, other.tallies),
            _added(self.revealed, other.revealed),
            self.failures + other.failures,
            _added(self.known, other.known),
            _together(self.theorems, other.theorems),
        )


def _together(left: Mapping[str, Tally], right: Mapping[str, Tally]) -> dict[str, Tally]:
    return {name: left.get(name, Tally()).and_also(right.get(name, Tally())) for name in {**left, **right}}


def _added(left: Mapping[_Key, int], right: Mapping[_Key, int]) -> dict[_Key, int]:
    return {name: left.get(name, 0) + right.get(name, 0) for name in {**left, **right}}


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
        findings: dict[str, dict[str, Comparison]] = {}
        crashes: dict[str, str] = {}
        for name, vjp in vjps.items():
            try:
                got = vjp(case)
                if not got:
                    raise TypeError("it returned no gradient")  # noqa: TRY301  # as much a crash as any other
                findings[name] = compare(got, truth, allowed[name])
            except Exception as error:  # whatever somebody's code does is a finding about that code
                crashes[name] = f"{type(error).__name__}: {error}"
        amiss = {s.name: s.known_on(case) for s in self.suspects if _fails(findings.get(s.name, {}))}
        known = {name: words for name, words in amiss.items() if words}
        findings = {name: found for name, found in findings.items() if name not in known}
        findings |= _differences(self.layer, case, truth)
        for name in vjps.keys() & findings.keys():
            findings[name] = self._told_apart(vjps[name], case, findings[name])
        tallies = {"ball": _own_width(truth)} | {name: _tally(found) for name, found in findings.items()}
        tallies |= dict.fromkeys(crashes, Tally(Verdict.CRASHED, cases=1))
        planted = shown(self.layer, case, truth, limits)
        verdict = findings["symbolic"]["dx"].verdict if "symbolic" in findings else Verdict.VACUOUS
        return Result(
            cases=1,
            vacuous=int(verdict is Verdict.VACUOUS or (verdict is Verdict.CORRECT and bool(unseen(planted)))),
            inconclusive=int(verdict is Verdict.INCONCLUSIVE),
            tallies=tallies,
            revealed={bug: int(bool(names)) for bug, names in planted.items()},
            failures=tuple(self._failures(case, findings, crashes)),
            known=dict.fromkeys(known.items(), 1),
            theorems={name: _instance(used) for name, used in shares(_stated(self.layer, case), case).items()},
        )

    def _told_apart(self, vjp: Vjp, case: Case, found: Mapping[str, Comparison]) -> dict[str, Comparison]:
        """The comparisons with what is unstable told from what is wrong."""
        return {
            name: replace(c, verdict=wrong_or_unstable(vjp, self.layer, case, name)) if _fails({name: c}) else c
            for name, c in found.items()
        }

    def _failures(self, case: Case, findings: Findings, crashes: Mapping[str, str]) -> Iterator[Counterexample]:
        arrays = {"x": case.x, "dy": case.dy, **case.parameters, **case.state, **case.upstream}
        for subject, found in findings.items():
            for gradient, comparison in found.items():
                if comparison.verdict.failed:
                    yield Counterexample(self.layer.address, subject, gradient, case.origin, comparison, "", arrays)
        nothing = Comparison(Verdict.CRASHED, (), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        for subject, detail in crashes.items():
            yield Counterexample(self.layer.address, subject, "dx", case.origin, nothing, detail, arrays)


def _stated(layer: Layer, case: Case) -> tuple[Theorem | Coincidence, ...]:
    return _theorems(layer, case.layout, tuple(case.parameters))


@lru_cache(maxsize=256)
def _theorems(layer: Layer, layout: Layout, parameters: tuple[str, ...]) -> tuple[Theorem | Coincidence, ...]:
    return theorems(derive(layer, layout, parameters))


def _instance(used: float) -> Tally:
    """What one case says of a theorem, from the share of the rounding bound that its two sides differ by."""
    return Tally(Verdict.CORRECT if used <= 1 else Verdict.WRONG, 0.0, 0.0, used, 1)


def _fails(found: Mapping[str, Comparison]) -> bool:
    return any(comparison.verdict.failed for comparison in found.values())


def _radii(layer: Layer, case: Case, rounds_once: Collection[str] = ()) -> dict[str, Any]:
    return {name: r.radius for name, r in tolerance(layer, case, rounds_once).items()}


def _differences(layer: Layer, case: Case, truth: Mapping[str, Enclosure]) -> dict[str, dict[str, Comparison]]:
    """The finite-difference and the complex-step oracle, in float64, each within the error it claims itself."""
    exact = case.astype(np.float64)
    rounding = _radii(layer, exact)
    forward = finite_difference.definition(layer, exact)
    there = _radii(layer, finite_difference.displaced(exact))
    noise = np.maximum(finite_difference.joined(exact, rounding), finite_difference.joined(exact, there))
    estimates = finite_difference.vjp(forward, exact, noise)
    found = {"finite_difference": _within_own_error(estimates, truth)}
    stepped = finite_difference.complex_step(forward, exact, rounding)
    if stepped is not None:
        found["complex_step"] = _within_own_error(stepped, truth)
    return found


def _within_own_error(
    estimates: Mapping[str, finite_difference.Estimate], truth: Mapping[str, Enclosure]
) -> dict[str, Comparison]:
    values = {name: e.value for name, e in estimates.items()}
    return compare(values, truth, {name: e.error for name, e in estimates.items()})


def _tally(found: Mapping[str, Comparison]) -> Tally:
    conclusive = [c for c in found.values() if c.verdict not in (Verdict.INCONCLUSIVE, Verdict.VACUOUS)]
    return Tally(
        Verdict.worst([c.verdict for c in found.values()]),
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
    found = {name: compare({name: e.value}, {name: e}, {name: np.abs(e.remainder)})[name] for name, e in truth.items()}
    return replace(
        _tally({n: replace(c, verdict=Verdict.CORRECT) for n, c in found.items()}), worst_radius_fraction=0.0
    )
