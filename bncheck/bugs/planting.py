"""Plants the catalogue's bugs in a layer, and says which of them a case can show.

A check is worth as much as the bugs it catches. The campaign plants every bug in every case and reports which ones it
would have caught; a case that cannot tell the essential ones from the truth is vacuous.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

import numpy as np

from bncheck.bugs.catalogue import BUGS
from bncheck.bugs.catalogue.bug import Bug
from bncheck.bugs.edits import Edit
from bncheck.bugs.programs import Bench
from bncheck.bugs.roles import derived
from bncheck.case import Array, Case, Enclosure, Gradients, Layout
from bncheck.layers import Layer
from bncheck.tangents import tangent_of

ESSENTIAL = ("zero", "mean-path-missing", "variance-path-missing", "gamma-missing")
"""A case on which one of these passes for the truth is vacuous."""

_SAME = 1e-9  # of the largest element: far above rounding in float64, far below what a bug does on the probe


def bugs_of(layer: Layer, case: Case) -> dict[str, Bug]:
    """The bugs that a layer can have on a case of these sizes, and that are in what it returns.

    A bug for which the layer has room is left out where the sizes make it none, as a wrong count that happens to be the
    right one; and one in the rounding where the case is not far enough from zero for its cancellation.

    >>> from bncheck.layers import LAYERS
    >>> layer = LAYERS["batch_norm"]
    >>> bugs = bugs_of(layer, Case(layer.layouts[0], x=[[0.0], [2.0]], dy=[[1.0], [0.0]]))
    >>> "ddof" in bugs, "gamma-missing" in bugs
    (True, False)
    """
    return {name: BUGS[name] for name in touched(layer, case) if BUGS[name].effect != "rounding" or _cancels(case)}


def touched(layer: Layer, case: Case) -> Mapping[str, frozenset[str]]:
    """For each bug that a layer can have in these sizes, the returned names that it changes."""
    shape = _small(case.layout, case.x.shape)
    return _differing(layer, case.layout, shape, tuple(case.parameters), tuple(case.settings.items()))


def _small(layout: Layout, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Small sizes that coincide where these do: what is a bug at the one is a bug at the other."""
    primes = iter((3, 5, 7, 11, 13))
    small = {1: 1, 2: 2}
    for size in shape:
        if size not in small:
            small[size] = next(primes)
    smaller = tuple(small[size] for size in shape)
    same = [layout.count(sizes) ** 2 == math.prod(sizes) for sizes in (shape, smaller)]  # as many groups as elements
    return smaller if same[0] == same[1] else shape


@lru_cache(maxsize=1024)
def _differing(
    layer: Layer,
    layout: Layout,
    shape: tuple[int, ...],
    parameters: tuple[str, ...],
    settings: tuple[tuple[str, float], ...],
) -> Mapping[str, frozenset[str]]:
    """The bugs that change an answer on some generic case of these sizes; the essential ones whatever they change."""
    probe = _probe(layer, layout, shape, parameters, dict(settings))
    styles, benches, changes = derived(layer, layout, parameters).styles, dict[str, tuple[Bench, Gradients]](), {}
    for name, bug in BUGS.items():
        for edit in bug.edits(layer, layout, parameters)[:1]:
            style = edit.program.style
            if style not in benches:
                bench = Bench(styles[style], probe)
                benches[style] = bench, bench.answers(bench.program)
            changed = _changed(*benches[style], edit)
            if changed or name in ESSENTIAL or bug.effect == "rounding":
                changes[name] = changed
        if bug.effect == "element":
            changes[name] = frozenset(("dx" if layer.primal is None else tangent_of("dx"),))
    return MappingProxyType(changes)


def _changed(bench: Bench, right: Gradients, edit: Edit) -> frozenset[str]:
    wrong = bench.answers(edit.program)
    return frozenset(
        name
        for name, value in wrong.items()
        if value.shape != right[name].shape
        or not np.abs(value - right[name]).max(initial=0) <= _SAME * np.abs(right[name]).max(initial=0)
    )


def _probe(
    layer: Layer, layout: Layout, shape: tuple[int, ...], parameters: tuple[str, ...], settings: dict[str, float]
) -> Case:
    """A case that hides nothing: everything is random, and ε as large as the variances."""
    rng = np.random.default_rng(0)
    stored, statistic = layout.parameter_shape(shape), layout.statistic_shape(shape)
    large = tangent_of("x")
    return Case(
        layout,
        rng.normal(size=shape) + 0.5,
        rng.normal(size=shape),
        {name: rng.uniform(1, 2, size=shape if name == large else stored) for name in parameters},
        eps=0.5,
        state={name: rng.uniform(1, 2, size=stored) for name in layer.state},
        settings=settings,
        upstream={name: rng.normal(size=statistic) for name in layer.outputs if name != "y"},
    )


def _cancels(case: Case) -> bool:
    """Whether some group is a hundred times as far from zero as it is wide: a one-pass variance cancels there.

    Half precision leaves nothing of such a group.
    """
    if case.dtype.itemsize < 4 or case.count == 1:
        return False
    with np.errstate(all="ignore"):
        wide = case.x.astype(np.float64)
        middle, width = (f(wide, axis=case.layout.reduced_axes) for f in (np.mean, np.std))
        return bool((np.abs(middle) > 100 * np.sqrt(width * width + case.eps)).any())


def shown(
    layer: Layer,
    case: Case,
    truth: Mapping[str, Enclosure],
    allowed: Mapping[str, Array],
    names: Iterable[str] = tuple(BUGS),
    *,
    within: Collection[str] = (),
) -> dict[str, frozenset[str]]:
    """For each of the named bugs that the layer can have here, the returned names in which this case shows it.

    `within` are the returned names that are looked at; all, without any.
    """
    bugs = bugs_of(layer, case)
    answers = _Answers(layer, case)
    limit = {name: allowed[name] + truth[name].radius for name in truth if not within or name in within}
    revealed = {}
    for name in (name for name in names if name in bugs):
        answer = answers.of(bugs[name], tuple(limit))
        revealed[name] = frozenset(n for n, value in answer if _outside(value, truth[n], limit[n]))
    return revealed


class _Answers:
    """What bugs answer on one case; programs that several are edits of are run once."""

    def __init__(self, layer: Layer, case: Case) -> None:
        self.layer, self.case = layer, case
        self.parameters = tuple(case.parameters)
        self.styles = derived(layer, case.layout, self.parameters).styles
        self.exact = case.astype(np.float64)
        self.benches: dict[str, Bench] = {}

    def of(self, bug: Bug, names: Sequence[str]) -> Iterator[tuple[str, Array]]:
        """By name, rounded once to the case's dtype."""
        edits = bug.edits(self.layer, self.case.layout, self.parameters)
        if bug.effect or not edits:
            answer = bug.vjp(self.case, self.layer)
            yield from ((name, answer[name]) for name in names)
            return
        program = edits[0].program
        if program.style not in self.benches:
            self.benches[program.style] = Bench(self.styles[program.style], self.exact)
        with np.errstate(all="ignore"):
            for name, value in self.benches[program.style].answers(program, names).items():
                yield name, np.asarray(value).astype(self.case.dtype, copy=False)


def _outside(got: Array, truth: Enclosure, limit: Array) -> bool:
    return got.shape != limit.shape or not bool(((truth.distance(got) <= limit) | np.isinf(limit)).all())


OF_X = ("dx", tangent_of("dx"))
"""The gradients with respect to x: what they do not show is vacuous."""


def unseen(revealed: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """The essential bugs that no gradient with respect to x shows, out of what `shown` tells."""
    return tuple(name for name in ESSENTIAL if name in revealed and revealed[name].isdisjoint(OF_X))
