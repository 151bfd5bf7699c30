"""The campaign: proves each layer, then holds every oracle and suspect against the truth, case by case.

The campaign is cut into units, each with a seed of its own derived from the campaign's, so that the report does not
depend on how many processes work on it. Within a unit Hypothesis draws the cases; where one fails, the unit is drawn
again and Hypothesis shrinks the failure.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np

from bncheck import __version__
from bncheck.case import DTYPES, Case, Enclosure, Gradients
from bncheck.compare import Comparison, Verdict, Vjp, compare, tolerance, wrong_or_unstable
from bncheck.definitions import LAYERS, Layer
from bncheck.errors import InvalidInput
from bncheck.minibatches import minibatches
from bncheck.mutants import ESSENTIAL, correct, mutants_for
from bncheck.oracles import ball, finite_difference, graph, symbolic
from bncheck.oracles.symbolic.derivation import SIZES, derive
from bncheck.oracles.symbolic.proof import Proof, prove
from bncheck.recipes import Recipe
from bncheck.suspects import Suspect, installed_for
from bncheck.trace import trace

UNIT = 20
"""How many cases one unit of a campaign draws."""

Findings = Mapping[str, Mapping[str, Comparison]]
"""Oracle or suspect → gradient → comparison."""


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
            Verdict.worst([self.verdict, other.verdict])
            if self.cases and other.cases
            else max(self, other, key=_cases).verdict,
            max(self.worst_ulp, other.worst_ulp),
            max(self.worst_relative_error, other.worst_relative_error),
            max(self.worst_radius_fraction, other.worst_radius_fraction),
            self.cases + other.cases,
        )


def _cases(tally: Tally) -> int:
    return tally.cases


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

    `revealed` counts, for each planted bug, the cases that would have caught it; `known` counts, for each suspect, the
    cases on which it failed in a way that is known already and that its tally therefore leaves out.
    """

    cases: int = 0
    vacuous: int = 0
    inconclusive: int = 0
    tallies: Mapping[str, Tally] = field(default_factory=dict)
    revealed: Mapping[str, int] = field(default_factory=dict)
    failures: tuple[Counterexample, ...] = ()
    known: Mapping[str, int] = field(default_factory=dict)

    def and_also(self, other: Result) -> Result:
        """Both results as one."""
        names = [*self.tallies, *(name for name in other.tallies if name not in self.tallies)]
        return Result(
            self.cases + other.cases,
            self.vacuous + other.vacuous,
            self.inconclusive + other.inconclusive,
            {n: self.tallies.get(n, Tally()).and_also(other.tallies.get(n, Tally())) for n in names},
            _added(self.revealed, other.revealed),
            self.failures + other.failures,
            _added(self.known, other.known),
        )


def _added(left: Mapping[str, int], right: Mapping[str, int]) -> dict[str, int]:
    return {name: left.get(name, 0) + right.get(name, 0) for name in {**left, **right}}


@dataclass(frozen=True)
class LayerReport:
    """One layer of a campaign: its proof and the result of its cases."""

    layer: str
    proof: Proof
    sizes: Mapping[str, str]
    result: Result
    suspects: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """A whole campaign."""

    version: str
    seed: int
    layers: tuple[LayerReport, ...]

    @property
    def verdict(self) -> Verdict:
        """The verdict on everything: correct only where the proof holds and every oracle and suspect agrees.

        Where no case of a layer could have told right from wrong, nothing is concluded.
        """
        if not all(report.proof.proved for report in self.layers):
            return Verdict.WRONG
        told = Verdict.worst([tally.verdict for report in self.layers for tally in report.result.tallies.values()])
        for result in (report.result for report in self.layers):
            if not told.failed and result.cases == result.vacuous + result.inconclusive:
                return Verdict.INCONCLUSIVE if result.inconclusive else Verdict.VACUOUS
        return told

    @property
    def counterexample(self) -> Counterexample | None:
        """The smallest failing case, if any."""
        failures = [replace(f, seed=self.seed) for report in self.layers for f in report.result.failures]
        return min(failures, key=lambda f: sum(np.size(a) for a in f.arrays.values()), default=None)


def verify(
    layers: Iterable[Layer] = tuple(LAYERS.values()),
    *,
    cases: int = 150,
    seed: int = 0,
    dtypes: tuple[str, ...] = tuple(DTYPES),
    jobs: int = 1,
    real_data: bool = True,
    suspects: Mapping[str, Vjp] | None = None,
    only: Recipe | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Proves the layers and runs a campaign of generated and real cases.

    `cases` are drawn for each layer; `suspects` are compared besides those of installed frameworks; `only` runs one
    case instead. `progress` is told how many units are done, of how many.

    Raises
        InvalidInput: fewer than one case or job, a negative seed, an unknown dtype.

    >>> verify(cases=5, real_data=False).verdict
    <Verdict.CORRECT: 'correct'>
    """
    for name, value, least in (("cases", cases, 1), ("jobs", jobs, 1), ("seed", seed, 0)):
        if value < least:
            raise InvalidInput(name, value, f"a whole number of at least {least}")
    for dtype in dtypes:
        if dtype not in DTYPES:
            raise InvalidInput("dtype", dtype, f"one of {', '.join(DTYPES)}")
    layers = tuple(layers)
    plans = [_plan(layer, cases, seed, dtypes, real_data, only) for layer in layers]
    work = [(k, unit) for k, plan in enumerate(plans) for unit in plan]
    results = [Result() for _ in layers]
    with _mapped(jobs) as mapped:
        run = partial(_work, layers=layers, suspects=dict(suspects or {}))
        for done, ((k, _), result) in enumerate(zip(work, mapped(run, work), strict=True), start=1):
            results[k] = results[k].and_also(result)
            progress(done, len(work))
    reports = []
    for layer, result in zip(layers, results, strict=True):
        names = tuple(s.name for s in installed_for(layer)) + tuple(suspects or ())
        reports.append(LayerReport(layer.name, *_proved(layer), result, names))
    return Report(__version__, seed, tuple(reports))


def _proved(layer: Layer) -> tuple[Proof, dict[str, str]]:
    """The proof for every way in which the layer's layouts use their axes, and what each index runs over."""
    derivations = {tuple(d.roles): d for d in (derive(layer, layout) for layout in layer.layouts)}
    steps = tuple(step for derivation in derivations.values() for step in prove(derivation).steps)
    played = {letter: axes for d in derivations.values() for letter, axes in d.roles.items()}
    return Proof(layer.name, steps), {letter: played[letter] for letter in SIZES if letter in played}


@dataclass(frozen=True)
class _Unit:
    """A piece of a campaign: `cases` drawn with a seed of its own, or the real mini-batches, or one given case."""

    seed: int
    cases: int
    dtypes: tuple[str, ...]
    real: bool = False
    only: Recipe | None = None


def _plan(
    layer: Layer, cases: int, seed: int, dtypes: tuple[str, ...], real_data: bool, only: Recipe | None
) -> list[_Unit]:
    if only is not None:
        return [_Unit(seed, 1, (only.dtype,), only=only)]
    sizes = [min(UNIT, cases - start) for start in range(0, cases, UNIT)]
    seeds = np.random.SeedSequence(seed).generate_state(len(sizes))
    units = [_Unit(int(s), size, dtypes) for s, size in zip(seeds, sizes, strict=True)]
    return [*units, _Unit(seed, 0, dtypes, real=True)] if real_data else units


@contextmanager
def _mapped(jobs: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """`map`, in this process or in several; an interruption ends them all at once."""
    if jobs == 1:
        yield map
        return
    # Children ignore Ctrl-C: they inherit that from the moment they start, and the parent ends them.
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    pool = get_context("spawn").Pool(jobs)
    signal.signal(signal.SIGINT, handler)
    try:
        yield pool.imap
    finally:
        pool.terminate()
        pool.join()


def _work(item: tuple[int, _Unit], layers: tuple[Layer, ...], suspects: dict[str, Vjp]) -> Result:
    k, unit = item
    layer = layers[k]
    bench = Bench(layer, (*installed_for(layer), *(Suspect(name, vjp) for name, vjp in suspects.items())))
    if unit.only is not None:
        return bench.examine(unit.only.build(layer.parameters))
    result = Result()
    if unit.real:
        for case in minibatches(layer, unit.seed, unit.dtypes):
            result = result.and_also(bench.examine(case))
        return result
    for outcome in _drawn(bench, unit, fail_on=None):
        result = result.and_also(outcome)
    return replace(result, failures=tuple(_shrunk(bench, unit, failure) for failure in _first_of_each(result.failures)))


def _first_of_each(failures: tuple[Counterexample, ...]) -> list[Counterexample]:
    return list({failure.subject: failure for failure in reversed(failures)}.values())[::-1]


class _Found(Exception):  # not an error: it tells Hypothesis to shrink
    """A case on which the subject that is looked at fails."""


def _drawn(bench: Bench, unit: _Unit, fail_on: str | None) -> list[Result]:
    """The results of the cases Hypothesis draws; with `fail_on`, of the smallest case on which that subject fails."""
    import hypothesis
    from hypothesis import HealthCheck, Phase, settings

    from bncheck.strategies import recipes

    outcomes: list[Result] = []

    @hypothesis.seed(unit.seed)
    @settings(
        max_examples=unit.cases,
        phases=[Phase.generate, Phase.shrink],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        verbosity=hypothesis.Verbosity.quiet,
    )
    @hypothesis.given(recipes(bench.layer, dtypes=unit.dtypes))
    def each(recipe: Recipe) -> None:
        outcome = bench.examine(recipe.build(bench.layer.parameters))
        if fail_on is None:
            outcomes.append(outcome)
        elif any(failure.subject == fail_on for failure in outcome.failures):
            outcomes[:] = [outcome]
            raise _Found

    with suppress(_Found), _without_found_constants():
        each()
    return outcomes


@contextmanager
def _without_found_constants() -> Iterator[None]:
    """Keeps Hypothesis from drawing numbers that it finds in the source of loaded modules, and files on disk.

    A campaign would depend on what else is imported: on the number of processes, on where bncheck is installed.
    """
    from hypothesis.internal.conjecture import providers

    if not hasattr(providers, "_get_local_constants"):  # an older Hypothesis
        yield
        return
    from hypothesis.internal.constants_ast import Constants

    finds = providers._get_local_constants
    providers._get_local_constants = Constants
    providers.CONSTANTS_CACHE.cache.clear()
    try:
        yield
    finally:
        providers._get_local_constants = finds
        providers.CONSTANTS_CACHE.cache.clear()


def _shrunk(bench: Bench, unit: _Unit, failure: Counterexample) -> Counterexample:
    outcomes = _drawn(bench, unit, fail_on=failure.subject)
    found = [f for outcome in outcomes for f in outcome.failures if f.subject == failure.subject]
    return found[0] if found else failure


@dataclass(frozen=True)
class Bench:
    """One layer, and the suspects that are held against it beside its oracles."""

    layer: Layer
    suspects: tuple[Suspect, ...] = ()

    def examine(self, case: Case) -> Result:
        """Holds every oracle and suspect against the ball truth on one case."""
        layer = self.layer
        truth = ball.vjp(layer, case)
        allowed = {dtype: _radii(layer, case, dtype) for dtype in {case.dtype, np.result_type(case.dtype, np.float32)}}
        findings: dict[str, dict[str, Comparison]] = {}
        details: dict[str, str] = {}
        direct: dict[str, Vjp] = {"symbolic": partial(symbolic.vjp, layer), "graph": partial(graph.vjp, layer)}
        direct |= {suspect.name: suspect.vjp for suspect in self.suspects if suspect.takes(case)}
        for name, vjp in direct.items():
            try:
                gradients = vjp(case)
            except Exception as error:
                details[name] = f"{type(error).__name__}: {error}"
                continue
            findings[name] = compare(gradients, truth, allowed.get(gradients["dx"].dtype, allowed[case.dtype]))
        known = {s.name for s in self.suspects if s.known is not None and s.known.shows(case)}
        known = {n for n in known & set(findings) if any(c.verdict is Verdict.WRONG for c in findings[n].values())}
        findings = {name: found for name, found in findings.items() if name not in known}
        findings |= _differences(layer, case, truth)
        failures = []
        for name, found in findings.items():
            for gradient, comparison in found.items():
                if comparison.verdict is Verdict.WRONG:
                    if name in direct:
                        told = wrong_or_unstable(direct[name], layer, case, gradient)
                        found[gradient] = comparison = replace(comparison, verdict=told)
                    failures.append(
                        Counterexample(layer.address, name, gradient, case.origin, comparison, "", _arrays(case))
                    )
        tallies = {"ball": _own_width(truth)} | {name: _tally(found) for name, found in findings.items()}
        for name, detail in details.items():
            tallies[name] = Tally(Verdict.CRASHED, cases=1)
            nothing = Comparison(Verdict.CRASHED, (), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
            failures.append(Counterexample(layer.address, name, "dx", case.origin, nothing, detail, _arrays(case)))
        blind, revealed = _power(layer, case, truth, allowed[case.dtype])
        verdict = findings["symbolic"]["dx"].verdict if "symbolic" in findings else Verdict.VACUOUS
        vacuous = verdict is Verdict.VACUOUS or (verdict is Verdict.CORRECT and blind)
        return Result(
            1,
            int(vacuous),
            int(verdict is Verdict.INCONCLUSIVE),
            tallies,
            revealed,
            tuple(failures),
            dict.fromkeys(known, 1),
        )


def _radii(layer: Layer, case: Case, dtype: Any) -> dict[str, Any]:
    return {name: r.radius for name, r in tolerance(layer, case, dtype).items()}


def _differences(layer: Layer, case: Case, truth: Mapping[str, Enclosure]) -> dict[str, dict[str, Comparison]]:
    """The finite-difference and the complex-step oracle, in float64, each within the error it claims itself."""
    exact = case.astype(np.float64)
    rounding = _radii(layer, exact, exact.dtype)
    forward = finite_difference.definition(layer, exact)
    noise = np.maximum(rounding["y"], tolerance(layer, finite_difference.displaced(exact))["y"].radius)
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


def _power(
    layer: Layer, case: Case, truth: Mapping[str, Enclosure], allowed: Mapping[str, Any]
) -> tuple[bool, dict[str, int]]:
    """Which mutants this case reveals; blind when it misses an essential one that could show here.

    For a layer of one's own whose gradient is another one, the mutants say nothing.
    """
    centred = "mean" in trace(layer, case.layout, tuple(case.parameters)).named
    right = correct(case, centred=centred)
    if set(right) != set(case.gradient_names) or _is_wrong(right, truth, allowed):
        return False, {}
    mutants = mutants_for(case, centred=centred)
    revealed = {n: int(_is_wrong(m.vjp(case, centred=centred), truth, allowed)) for n, m in mutants.items()}
    return any(not revealed.get(name, 1) for name in ESSENTIAL), revealed


def _is_wrong(got: Gradients, truth: Mapping[str, Enclosure], allowed: Mapping[str, Any]) -> bool:
    return any(c.verdict is Verdict.WRONG for c in compare(got, truth, allowed).values())


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
    limit = float(np.finfo(np.float64).max)  # JSON has no infinity
    return max((min(n, limit) if n == n else limit for n in numbers), default=0.0)


def _own_width(truth: Mapping[str, Enclosure]) -> Tally:
    """The ball oracle's tally: how wide the truth itself is."""
    found = {name: compare({name: e.value}, {name: e}, {name: np.abs(e.remainder)})[name] for name, e in truth.items()}
    return replace(
        _tally({n: replace(c, verdict=Verdict.CORRECT) for n, c in found.items()}), worst_radius_fraction=0.0
    )


def _arrays(case: Case) -> dict[str, Any]:
    return {"x": case.x, "dy": case.dy, **case.parameters}
