"""The campaign: proves each layer, then holds every oracle and suspect against the truth, case by case.

The campaign is cut into units, each with a seed of its own derived from the campaign's, so that the report does not
depend on how many processes work on it. Within a unit Hypothesis draws the cases; where one fails, the unit is drawn
again and Hypothesis shrinks the failure.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

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

Piece = tuple[int, LayerReport | Result]
"""What one unit of a campaign gives: the place of its layer, and what is said of that without any case, or a result."""


def verify(layers: Iterable[Layer] = tuple(LAYERS.values()), *, seed: int = 0, **options: Any) -> Report:
    """Proves the layers and runs a campaign of generated and real cases; the `options` are those of `pieces`.

    Raises
        InvalidInput, MissingPackage: as `pieces`.

    >>> verify([LAYERS["rms_norm"]], cases=5, real_data=False).verdict
    <Verdict.CORRECT: 'correct'>
    """
    return assembled(seed, pieces(layers, seed=seed, **options)[0].values())


def pieces(
    layers: Iterable[Layer],
    *,
    shard: tuple[int, int] = (1, 1),
    cases: int = 80,
    seed: int = 0,
    dtypes: tuple[str, ...] = tuple(DTYPES),
    jobs: int = 1,
    executor: Executor | None = None,
    real_data: bool = True,
    suspects: Mapping[str, Vjp] | None = None,
    against: Iterable[str] = (),
    only: Recipe | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[dict[int, Piece], int]:
    """What the units of a campaign give, by their places, and how many there are.

    `cases` are drawn for each layer; `suspects` are compared, and those of the frameworks that `against` names, of
    which `bncheck.frameworks.FRAMEWORKS` is the list; `only` runs one case instead. The work is done by so many `jobs`,
    or by an `executor`; of a `shard` k/n, only what is dealt to it. `progress` is told how many units are done, of how
    many.

    Raises
        InvalidInput: fewer than one case or job, a negative seed, an unknown dtype or framework.
        MissingPackage: a framework, or Hypothesis and scikit-learn of the extra `campaign`, are not installed.
    """
    for name, value, least in (("cases", cases, 1), ("jobs", jobs, 1), ("seed", seed, 0)):
        if value < least:
            raise InvalidInput(name, value, f"a whole number of at least {least}", f"Try {name}={max(least, 1)}.")
    for dtype in dtypes:
        if dtype not in DTYPES:
            raise InvalidInput.unknown("dtype", dtype, DTYPES)
    need("campaign")
    layers, against = tuple(layers), tuple(against)
    for layer in layers:
        of_frameworks(layer, against)  # one that is not installed is refused before anything is done
    plan = _plan(layers, cases, seed, dtypes, real_data, only)
    work = partial(_work, layers=layers, suspects=dict(suspects or {}), against=against)
    places = _dealt(plan, shard)
    with mapped(jobs if executor else max(1, min(jobs, len(places))), executor) as in_order:
        found = {}
        for k, piece in zip(places, in_order(work, [plan[k] for k in places]), strict=True):
            found[k] = piece
            progress(len(found), len(places))
    return found, len(plan)


def assembled(seed: int, found: Iterable[Piece]) -> Report:
    """The report that the pieces of a whole campaign make, in the order of its plan."""
    reports: dict[int, LayerReport] = {}
    for k, piece in found:
        if isinstance(piece, LayerReport):
            reports[k] = piece
        else:
            reports[k] = replace(reports[k], result=reports[k].result.and_also(piece))
    return Report(__version__, seed, tuple(reports[k] for k in sorted(reports)))


def _said(layer: Layer, suspects: tuple[Suspect, ...]) -> LayerReport:
    """What is said of a layer without any case: its proof, its theorems, and who is held against it."""
    with _ONE_AT_A_TIME:
        derivations = list({tuple(d.roles): d for d in (derive(layer, layout) for layout in layer.layouts)}.values())
        proof = Proof(layer.name, tuple(step for derivation in derivations for step in prove(derivation).steps))
        stated = _stated(derivations)
    played = {letter: axes for derivation in derivations for letter, axes in derivation.roles.items()}
    return LayerReport(
        layer.name,
        proof,
        {letter: played[letter] for letter in SIZES if letter in played},
        Result(),
        tuple(suspect.name for suspect in suspects),
        stated,
        revealed(layer) if layer.is_plain else {},
        tuple(suspect.name for suspect in suspects if suspect.forward_only),
    )


_ONE_AT_A_TIME = threading.RLock()
"""SymPy and Hypothesis are used by one thread at a time."""


def _stated(derivations: list[Derivation]) -> tuple[Statement, ...]:
    """The theorems of a layer, proved where they are for every way in which its layouts use their axes."""
    stated: dict[str, Statement] = {}
    for theorem in (theorem for derivation in derivations for theorem in theorems(derivation)):
        before = stated.get(theorem.name)
        outcome = Outcome.of_all([theorem.outcome, *([before.outcome] if before else [])])
        stated[theorem.name] = Statement(theorem.name, theorem.statement, theorem.words, outcome)
    return tuple(stated.values())


@dataclass(frozen=True)
class Unit:
    """A piece of a campaign on the layer at a place: its proof, cases that are drawn, real mini-batches, or one case.

    Each has a seed of its own. Without `cases`, `real` and `only` it is the proof.
    """

    layer: int
    seed: int
    cases: int = 0
    dtypes: tuple[str, ...] = ()
    real: bool = False
    only: Recipe | None = None


def _plan(
    layers: tuple[Layer, ...], cases: int, seed: int, dtypes: tuple[str, ...], real_data: bool, only: Recipe | None
) -> list[Unit]:
    """Layer by layer: first the proof, then what is asked of it."""
    sizes = [] if only else [min(UNIT, cases - start) for start in range(0, cases, UNIT)]
    seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(len(sizes))]
    plan = []
    for k in range(len(layers)):
        plan.append(Unit(k, seed))
        plan += [Unit(k, s, size, dtypes) for s, size in zip(seeds, sizes, strict=True)]
        if only is not None:
            plan.append(Unit(k, seed, 1, (only.dtype,), only=only))
        elif real_data:
            plan.append(Unit(k, seed, 0, dtypes, real=True))
    return plan


def _dealt(plan: list[Unit], shard: tuple[int, int]) -> list[int]:
    """The places of the units of a shard k/n: kind after kind in turn, for some kinds take much longer than others."""
    k, n = shard
    kinds = sorted(range(len(plan)), key=lambda place: (plan[place].real, plan[place].cases > 0))
    return sorted(kinds[k - 1 :: n])


def _work(unit: Unit, layers: tuple[Layer, ...], suspects: dict[str, Vjp], against: tuple[str, ...]) -> Piece:
    layer = layers[unit.layer]
    compared = (*of_frameworks(layer, against), *(Suspect(name, vjp) for name, vjp in suspects.items()))
    return unit.layer, _asked(unit, layer, compared)


def _asked(unit: Unit, layer: Layer, compared: tuple[Suspect, ...]) -> LayerReport | Result:
    if not (unit.cases or unit.real):
        return _said(layer, compared)
    bench = Bench(layer, compared)
    if unit.only is not None:
        return bench.examine(unit.only.build(layer))
    result = Result()
    if unit.real:
        for case in minibatches(layer, unit.seed, unit.dtypes):
            result = result.and_also(bench.examine(case))
        return result
    for recipe in _drawn(layer, unit):
        result = result.and_also(bench.examine(recipe.build(layer)))
    return replace(result, failures=tuple(_shrunk(bench, unit, failure) for failure in _first_of_each(result.failures)))


def _first_of_each(failures: tuple[Counterexample, ...]) -> list[Counterexample]:
    return list({failure.subject: failure for failure in reversed(failures)}.values())[::-1]


class _Found(Exception):  # not an error: it tells Hypothesis to shrink
    """A case on which the subject that is looked at fails."""


def _drawn(layer: Layer, unit: Unit, keep: Callable[[Recipe], bool] | None = None) -> list[Recipe]:
    """The cases that Hypothesis draws; with `keep`, only the smallest of those that it keeps."""
    import hypothesis
    from hypothesis import HealthCheck, Phase, settings

    from bncheck.inputs.strategies import recipes

    drawn: list[Recipe] = []

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
    @hypothesis.given(recipes(layer, dtypes=unit.dtypes))
    def each(recipe: Recipe) -> None:
        if keep is None:
            drawn.append(recipe)
        elif keep(recipe):
            drawn[:] = [recipe]
            raise _Found

    with _ONE_AT_A_TIME, suppress(_Found):
        each()
    return drawn


def _shrunk(bench: Bench, unit: Unit, failure: Counterexample) -> Counterexample:
    def fails(recipe: Recipe) -> list[Counterexample]:
        failures = bench.examine(recipe.build(bench.layer)).failures
        return [one for one in failures if one.subject == failure.subject]

    smallest = _drawn(bench.layer, unit, lambda recipe: bool(fails(recipe)))
    return fails(smallest[0])[0] if smallest else failure
