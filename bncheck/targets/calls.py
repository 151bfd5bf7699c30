"""How a target is asked: cases in the shapes that it wants, answers in the shapes of the case."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from bncheck.case import Array, Case, Gradients, Layout
from bncheck.errors import TargetFailed
from bncheck.inputs.sizes import TRIAL, shape_of
from bncheck.layers import Layer
from bncheck.targets.sandbox import Sandbox

TRIAL_EPS = 1e-5
PARAMETERS = ("gamma", "beta")
MOMENTUM = 0.9  # what a target is given where it asks for one

ORDERS = ("Fortran", "strided", "reversed", "fixed")
"""The ways, beside the usual, in which an array can lie in memory when it is handed over; a fixed one is read-only."""


@dataclass(frozen=True)
class Plan:
    """Which candidate of a sandbox is called, with whose arrays, and γ and β in which of the `parameter_shapes`.

    `gradients` says whether a backward answered when it was tried, `takes_eps` whether eps found a place. `bindings`
    say, by layout, how it was found to be spoken to; where there is none, the child searches. `partner` is another
    function of the file that is the backward, `most` how many calls a search may make.
    """

    candidate: int
    family: str
    shapes: Mapping[Layout, str]
    gradients: bool = False
    takes_eps: bool = False
    bindings: Mapping[Layout, Any] = field(default_factory=dict)
    partner: str = ""
    most: int | None = None


@dataclass(frozen=True, eq=False)
class Target:
    """Somebody's implementation of one layer, ready to be asked.

    `layouts` are those that it was seen to take, the one it is checked in first. `eps` is the one that it keeps to
    whatever a case says; None where it takes the case's, or where that could not be told; `eps_in` is that of dtypes in
    which it is another. `failure` is set where it was recognised but no trial call succeeded; every call then raises
    it. `observations` are its conventions by name, see `bncheck.targets.observations`. `likeness` is the correlation of
    its `first` y with the layer's, `whole` says whether places were found for all that the layer has, `fits` whether
    its gradients have the sizes of the parameters, `takes_all` whether all that it computes with is handed to it, and
    `places` where its parameters and gradients are, in words. `left_over` are the names of what was not understood,
    `unknown` of what its y follows besides, `neutral` the parameters that it has and the layer has not, `clears` its
    methods that may begin anew.
    """

    name: str
    recognised_as: str
    layer: Layer
    layouts: tuple[Layout, ...]
    dtypes: tuple[str, ...]
    has_backward: bool
    parameters: tuple[str, ...]
    sandbox: Sandbox = field(repr=False)
    plan: Plan = field(repr=False)
    eps: float | None = None
    eps_in: Mapping[str, float] = field(default_factory=dict)
    observations: Mapping[str, Any] = field(default_factory=dict)
    failure: TargetFailed | None = None
    features: tuple[int, ...] = ()
    groups: int = 0
    likeness: float = 0.0
    whole: bool = True
    fits: bool = True
    takes_all: bool = True
    places: Mapping[str, str] = field(default_factory=dict)
    may_have_backward: bool = True
    left_over: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    neutral: tuple[str, ...] = ()
    clears: tuple[str, ...] = ()
    first: Array | None = field(default=None, repr=False, compare=False)

    @property
    def layout(self) -> Layout:
        """The layout it is checked in, unless a case says otherwise."""
        return self.layouts[0]

    def fixed_sizes(self, layout: Layout | None = None) -> dict[str, int]:
        """The sizes that an instance insists on, by axis: ``{"C": 3}`` for a `torch.nn.BatchNorm2d(3)`."""
        return fixed_sizes(layout or self.layout, self.features, self.groups) or {}

    def takes(self, case: Case) -> bool:
        """Whether the target can be asked about a case: its layout, its dtype, the sizes of its axes."""
        sizes = dict(zip(case.layout.axes, case.x.shape, strict=True))
        fixed = self.fixed_sizes(case.layout)
        spoken = case.layout in self.layouts and case.dtype.name in self.dtypes
        return spoken and all(sizes[axis] == size for axis, size in fixed.items())

    def adapted(self, case: Case) -> Case:
        """The case with the eps that the target keeps to, and only the parameters that it has."""
        kept = {name: value for name, value in case.parameters.items() if name in self.parameters}
        eps = self.eps_in.get(case.dtype.name, self.eps)
        return Case(case.layout, case.x, case.dy, kept, eps or case.eps, case.origin)

    def forward(
        self, x: Array, parameters: Mapping[str, Array], *, layout: Layout | None = None, eps: float | None = TRIAL_EPS
    ) -> Array:
        """The target's own y, in training mode, on a fresh instance; an eps of None is left to it.

        Raises
            TargetFailed: it did not answer with an array of floats in the shape of x.
        """
        answers, _ = self.ask({"x": np.asarray(x), **parameters}, layout or self.layout, eps)
        return answers["y"]

    def forward_of(self, case: Case) -> Callable[[Array, Mapping[str, Array]], Array]:
        """The target as a black box for finite differences around a case."""
        return lambda x, parameters: self.forward(x, parameters, layout=case.layout, eps=case.eps)

    def vjp(self, case: Case) -> Gradients:
        """y and the gradients for a case, as far as the target answers them.

        Raises
            TargetFailed: it raised, ended its process, exceeded a limit, or answered with something else.
        """
        dy = {"dy": case.dy} if self.has_backward else {}
        answers, _ = self.ask({"x": case.x, **dy, **case.parameters}, case.layout, case.eps)
        return {name: value for name, value in answers.items() if name in ("y", *case.gradient_names)}

    def ask(
        self,
        given: Mapping[str, Array],
        layout: Layout,
        eps: float | None,
        order: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """One call in the sandbox: the answers in the case's shapes, and what was noticed on the way.

        `order` names the arrays that are handed over in one of the `ORDERS` of memory.
        """
        if self.failure:
            raise self.failure
        header, shown = self.shown(given, layout, eps)
        notes, arrays = self.sandbox.call({"op": "call", "order": dict(order), **header}, shown)
        if arrays["y"].shape != shown["x"].shape:
            shapes = f"{arrays['y'].shape}, expected {shown['x'].shape}"
            raise TargetFailed("answer", f"{self.name} returned y of shape {shapes}.")
        for name, array in arrays.items():
            if array.dtype.kind not in "fc":
                raise TargetFailed("answer", f"{self.name} returned {name} of dtype {array.dtype}, expected floats.")
        own = {}
        for name, array in arrays.items():
            like = given.get(name.removeprefix("d"), given["x"])
            of_x = name in ("y", "dx") and array.shape != shown["x"].shape
            own[name] = array if of_x else _like(array, like)
        return own, notes

    def train(
        self,
        batches: Mapping[str, Array],
        parameters: Mapping[str, Array],
        eps: float | None = TRIAL_EPS,
        momentum: float | None = MOMENTUM,
        *,
        insisted: bool = False,
        evaluated: Array | None = None,
        dy: Array | None = None,
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """Forwards on one instance, batch after batch: ``NAME y`` and ``NAME running_mean``, and ``evaluated y``.

        The last is y of `evaluated`, by default the first batch, in evaluation mode after all of them; where there is a
        `dy`, ``evaluated dx`` and its like follow, if a backward answers then. An eps or a momentum of None is left to
        the target; one that has a momentum by default is given another only where that is `insisted` on.
        """
        first = next(iter(batches.values()))
        given = {"x": first, "evaluated": first if evaluated is None else evaluated, **parameters}
        header, shown = self.shown(given if dy is None else {**given, "dy": dy}, self.layout, eps)
        shown |= {name: batch.reshape(shown["x"].shape) for name, batch in batches.items()}
        header |= {"momentum": momentum, "insisted": ["momentum"] if insisted else []}
        notes, arrays = self.sandbox.call({"op": "train", "sequence": list(batches), **header}, shown)
        numbers = {k: v.astype(first.dtype) if v.dtype.kind in "biu" else v for k, v in arrays.items()}
        return {k: v.reshape(first.shape) if v.size == first.size else v for k, v in numbers.items()}, notes

    def steps(
        self,
        sequence: Sequence[tuple[str, str]],
        arrays: Mapping[str, Array],
        eps: float | None = TRIAL_EPS,
        clears: str = "",
    ) -> tuple[list[dict[str, Array]], TargetFailed | None]:
        """What is answered to ``forward``, ``backward`` and ``evaluate`` on one instance, step by step.

        Each step is one of these words and the name of an array, among which γ and β may be. A step that raises is the
        last, and what it raised is told beside. `clears` is a method that is called before each forward.
        """
        first = arrays[sequence[0][1]]
        header, shown = self.shown({"x": first, **self.learned(arrays)}, self.layout, eps)
        merged = {name: _merged_groups(self.layout, arrays[name].shape) for _, name in sequence}
        as_in_case = self.plan.shapes[self.layout] == "case"
        shown |= {name: arrays[name].reshape(arrays[name].shape if as_in_case else merged[name]) for name in merged}
        notes, got = self.sandbox.call(
            {"op": "steps", "steps": [list(step) for step in sequence], "clears": clears, **header}, shown
        )
        stopped = notes["stopped"]
        done = stopped["step"] if stopped else len(sequence)
        answers: list[dict[str, Array]] = [{} for _ in range(done)]
        latest = first
        for k, (kind, name) in enumerate(sequence[:done]):
            latest = arrays[name] if kind != "backward" else latest
            for key in (key for key in got if key.startswith(f"{k} ")):
                what = key.removeprefix(f"{k} ")
                like = latest if what in ("y", "dx") else arrays.get(what.removeprefix("d"), got[key])
                answers[k][what] = _like(got[key], like)
        if stopped is None:
            return answers, None
        words = f"{self.name} {stopped['words']}."
        return answers, TargetFailed(str(stopped["failed"]), words, bool(stopped["deliberate"]))

    def twice(self, case: Case, along: Mapping[str, Array]) -> tuple[str, dict[str, Array]]:
        """The gradients of its gradients along directions, by the name of what they are with respect to.

        Beside stands by whom they are offered, ``by its author`` or ``by the framework``; "" where they are not.
        """
        given = {"x": case.x, "dy": case.dy, **self.learned(case.parameters)}
        header, shown = self.shown(given, case.layout, case.eps)
        shown |= {f"along {name}": value.reshape(shown[name].shape) for name, value in along.items() if name in shown}
        notes, got = self.sandbox.call({"op": "twice", **header}, shown)
        return str(notes["offered"]), {name: _like(value, given[name]) for name, value in got.items()}

    def without_parameters(self) -> Iterator[tuple[str, Target]]:
        """The target without some of its parameters, where it can be had so, and how."""
        given = np.zeros(shape_of(self.layout, TRIAL, self.fixed_sizes()), self.dtypes[0])
        stored = self.layout.parameter_shape(given.shape)
        learned = {name: np.ones(stored, given.dtype) for name in self.parameters}
        header, shown = self.shown({"x": given, **learned}, self.layout, TRIAL_EPS)
        notes, _ = self.sandbox.call({"op": "without", **header}, shown)
        for words, left, binding in notes["without"]:
            plan = replace(self.plan, bindings={self.layout: binding})
            yield words, replace(self, layouts=(self.layout,), parameters=tuple(left), plan=plan)

    def learned(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Those of some arrays that are parameters which the target has."""
        return {name: value for name, value in arrays.items() if name in self.parameters}

    def shown(
        self, given: Mapping[str, Array], layout: Layout, eps: float | None
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        """A call as the target is to see it."""
        shape = given["x"].shape
        kind = self.plan.shapes[layout]
        seen = shape if kind == "case" else _merged_groups(layout, shape)
        wanted = parameter_shapes(layout, shape)[kind]
        arrays = {name: value.reshape(wanted if name in PARAMETERS else seen) for name, value in given.items()}
        header = {
            "candidate": self.plan.candidate,
            "family": self.plan.family,
            "binding": self.plan.bindings.get(layout),
            "partner": self.plan.partner,
            **({} if self.plan.most is None else {"most": self.plan.most}),
            "eps": eps,
            "momentum": MOMENTUM,
            "groups": shape[layout.axes.index("G")] if "G" in layout.axes else None,
            "features": list(_features(layout, shape, kind)),
            "layout": str(layout),
        }
        return header, arrays


def fixed_sizes(layout: Layout, features: tuple[int, ...], groups: int) -> dict[str, int] | None:
    """The sizes of the affine axes for a fixed number of features; None where they do not fit the layout.

    >>> fixed_sizes(Layout("NGK", "K", "GK"), (6,), 2)
    {'G': 2, 'K': 3}
    >>> fixed_sizes(Layout("NGK", "K", "GK"), (), 2)
    {'G': 2}
    """
    if not features:
        return {"G": groups} if groups and "G" in layout.affine else {}
    if "G" in layout.affine:
        return {"G": groups, "K": features[0] // groups} if groups else None
    return dict(zip(layout.affine, features, strict=True)) if len(features) == len(layout.affine) else None


def parameter_shapes(layout: Layout, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """The shapes in which implementations want γ and β, by name, the usual ones first.

    >>> parameter_shapes(Layout("NCHW", "NHW", "C"), (8, 3, 4, 4))
    {'flat': (3,), 'kept': (1, 3, 1, 1), 'row': (1, 3), 'stored': (3,), 'case': (3,)}
    """
    stored = layout.parameter_shape(shape)
    kept = tuple(n if k in layout.affine_axes else 1 for k, n in enumerate(shape))
    flat = (math.prod(stored),)
    return {
        "flat": flat,
        "kept": _merged_groups(layout, kept),
        "row": (1, *flat),
        "stored": stored,
        "case": stored,  # as the case holds it, x included
    }


def _features(layout: Layout, shape: tuple[int, ...], kind: str) -> tuple[int, ...]:
    """The sizes that an instance is made for, those of γ but for lengths of 1 that only make it fit x."""
    wanted, stored = parameter_shapes(layout, shape)[kind], layout.parameter_shape(shape)
    if kind == "kept":
        wanted = (stored[0] * stored[1], *stored[2:]) if layout.affine.startswith("GK") else stored
    return (wanted[1:] if kind == "row" else wanted) or (1,)


def _merged_groups(layout: Layout, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape in which implementations see x: groups and their channels are one axis."""
    if "G" not in layout.axes or "K" not in layout.axes:
        return shape
    k = layout.axes.index("G")
    return (*shape[:k], shape[k] * shape[k + 1], *shape[k + 2 :])


def _like(array: Array, given: Array) -> Array:
    """An answer in the shape of what it belongs to, where only lengths of 1 and merged axes tell them apart."""
    apart = [n for n in given.shape if n != 1]
    for size in (n for n in array.shape if n != 1):
        product = 1
        while product < size and apart:
            product *= apart.pop(0)
        if product != size:
            return array
    return array if apart else array.reshape(given.shape)
