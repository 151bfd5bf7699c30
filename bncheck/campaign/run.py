"""The campaign: proves each layer, then holds every oracle and suspect against the truth, case by case.

The campaign is cut into units, each with a seed of its own derived from the campaign's, so that the report does not
depend on how many processes work on it. Within a unit Hypothesis draws the cases; where one fails, the unit is drawn
again and Hypothesis shrinks the failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from bncheck.bugs.symmetry import revealed
from bncheck.campaign.one_case import Bench
from bncheck.case import Vjp
from bncheck.errors import InvalidInput
from bncheck.extras import need
from bncheck.formats import DTYPES
from bncheck.frameworks import Suspect, of_frameworks
from bncheck.inputs.minibatches import minibatches
from bncheck.inputs.recipes import Recipe
from bncheck.layers import LAYERS, Layer
from bncheck.oracles.symbolic.derivation import SIZES, Derivation, derive
from bncheck.oracles.symbolic.proof import Proof, prove
from bncheck.oracles.symbolic.theorems import theorems
from bncheck.outcomes import Outcome
from bncheck.processes import mapped
from bncheck.results import Counterexample, LayerReport, Report, Result, Statement
from bncheck.version import __version__

UNIT = 20
"""How many cases one unit of a campaign draws."""


def verify(
    layers: Iterable[Layer] = tuple(LAYERS.values()),
    *,
    cases: int = 80,
    seed: int = 0,
    dtypes: tuple[str, ...] = tuple(DTYPES),
    jobs: int = 1,
    real_data: bool = True,
    suspects: Mapping[str, Vjp] | None = None,
    against: Iterable[str] = (),
    only: Recipe | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Proves the layers and runs a campaign of generated and real cases.

    `cases` are drawn for each layer; `suspects` are compared, and those of the frameworks that `against` names, of
    which `bncheck.frameworks.FRAMEWORKS` is the list; `only` runs one case instead. `progress` is told how many units
    are done, of how many.

    Raises
        InvalidInput: fewer than one case or job, a negative seed, an unknown dtype or framework.
        MissingPackage: a framework, or Hypothesis and scikit-learn of the extra `campaign`, are not installed.

    >>> verify([LAYERS["rms_norm"]], cases=5, real_data=False).verdict
    <Verdict.CORRECT: 'correct'>
    """
    for name, value, least in (("cases", cases, 1), ("jobs", jobs, 1), ("seed", seed, 0)):
        if value < least:
            raise InvalidInput(name, value, f"a whole number of at least {least}", f"Try {name}={max(least, 1)}.")
    for dtype in dtypes:
        if dtype not in DTYPES:
            raise InvalidInput.unknown("dtype", dtype, DTYPES)
    need("campaign")
    layers, against = tuple(layers), tuple(against)
    theirs = [of_frameworks(layer, against) for layer in layers]
    plans = [_plan(layer, cases, seed, dtypes, real_data, only) for layer in layers]
    work = [(k, unit) for k, plan in enumerate(plans) for unit in plan]
    results = [Result() for _ in layers]
    with mapped(min(jobs, len(work))) as in_order:
        run = partial(_work, layers=layers, suspects=dict(suspects or {}), against=against)
        for done, ((k, _), result) in enumerate(zip(work, in_order(run, work), strict=True), start=1):
            results[k] = results[k].and_also(result)
            progress(done, len(work))
    reports = []
    for layer, result, compared in zip(layers, results, theirs, strict=True):
        names = (*(suspect.name for suspect in compared), *(suspects or ()))
        forward_only = tuple(suspect.name for suspect in compared if suspect.forward_only)
        derivations = list({tuple(d.roles): d for d in (derive(layer, layout) for layout in layer.layouts)}.values())
        proof = Proof(layer.name, tuple(step for derivation in derivations for step in prove(derivation).steps))
        played = {letter: axes for derivation in derivations for letter, axes in derivation.roles.items()}
        sizes = {letter: played[letter] for letter in SIZES if letter in played}
        asymmetric = revealed(layer) if layer.is_plain else {}
        stated = _stated(derivations)
        reports.append(LayerReport(layer.name, proof, sizes, result, names, stated, asymmetric, forward_only))
    return Report(__version__, seed, tuple(reports))


def _stated(derivations: list[Derivation]) -> tuple[Statement, ...]:
    """The theorems of a layer, proved where they are for every way in which its layouts use their axes."""
    stated: dict[str, Statement] = {}
    for theorem in (theorem for derivation in derivations for theorem in theorems(derivation)):
        before = stated.get(theorem.name)
        outcome = Outcome.of_all([theorem.outcome, *([before.outcome] if before else [])])
        stated[theorem.name] = Statement(theorem.name, theorem.statement, theorem.words, outcome)
    return tuple(stated.values())


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


def _work(
    item: tuple[int, _Unit], layers: tuple[Layer, ...], suspects: dict[str, Vjp], against: tuple[str, ...]
) -> Result:
    k, unit = item
    layer = layers[k]
    theirs = of_frameworks(layer, against)
    bench = Bench(layer, (*theirs, *(Suspect(name, vjp) for name, vjp in suspects.items())))
    if unit.only is not None:
        return bench.examine(unit.only.build(layer))
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

    from bncheck.inputs.strategies import recipes

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
        outcome = bench.examine(recipe.build(bench.layer))
        if fail_on is None:
            outcomes.append(outcome)
        elif any(failure.subject == fail_on for failure in outcome.failures):
            outcomes[:] = [outcome]
            raise _Found

    with suppress(_Found):
        each()
    return outcomes


def _shrunk(bench: Bench, unit: _Unit, failure: Counterexample) -> Counterexample:
    outcomes = _drawn(bench, unit, fail_on=failure.subject)
    found = [f for outcome in outcomes for f in outcome.failures if f.subject == failure.subject]
    return found[0] if found else failure
