"""Recognises what a candidate is by calling it: which layer, in which layouts, with whose arrays and in which dtypes.

Names only order what is tried; everything that is believed was seen in its answers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from bncheck.bugs.diagnose import forward_edit
from bncheck.case import Array, Case, Layout
from bncheck.errors import TargetFailed
from bncheck.inputs.sizes import TRIAL, shape_of
from bncheck.layers import LAYERS, Layer
from bncheck.targets.address import Address
from bncheck.targets.calls import PARAMETERS, TRIAL_EPS, Plan, Target, fixed_sizes, parameter_shapes
from bncheck.targets.observations import observed
from bncheck.targets.sandbox import Sandbox

HARD = frozenset({"timeout", "exited", "died", "memory"})
"""Reasons after which nothing more is tried."""

_HINTS = MappingProxyType(
    {
        "rms_norm": re.compile(r"(?<![A-Za-z])(?i:rms)|(?<=[a-z])R(?i:ms)"),  # a word of its own, not BatchNormSimple
        "layer_norm": re.compile(r"layer_?norm|(?<![a-z])ln(?![a-z])", re.IGNORECASE),
        "instance_norm": re.compile(r"instance|(?<![a-z])in_?norm", re.IGNORECASE),
        "group_norm": re.compile(r"group_?norm|(?<![a-z])gn(?![a-z])", re.IGNORECASE),
        "batch_norm": re.compile(r"batch_?norm|(?<![a-z])bn(?![a-z])", re.IGNORECASE),
    }
)
_SPATIAL = re.compile(r"spatial|[23]d|conv", re.IGNORECASE)
_OTHER_LAYOUTS: Mapping[str, tuple[Layout, ...]] = MappingProxyType(
    {
        "batch_norm": (
            Layout("CN", reduced="N", affine="C"),  # some courses keep each sample in a column
            Layout("NLC", reduced="NL", affine="C"),
        ),
        "layer_norm": (Layout("DN", reduced="D", affine="D"), Layout("NHWC", reduced="HWC", affine="HWC")),
        "instance_norm": (
            Layout("NHWC", reduced="HW", affine="C"),
            Layout("NLC", reduced="L", affine="C"),
            Layout("CLN", reduced="L", affine="C"),
        ),
        "group_norm": (Layout("NHWGK", reduced="HWK", affine="GK"), Layout("NLGK", reduced="LK", affine="GK")),
        "rms_norm": (Layout("DN", reduced="D", affine="D"),),
    }
)
"""Layouts beside those of a layer in which people write it, too."""
_SAME = 0.999
"""The correlation from which on no other layout is looked for: below, a bug or another layout may be the reason."""

ALIKE = 0.95
"""The correlation from which on a layout is believed: most bugs in a formula leave more, another layout less."""


_EDITED = 12
"""How many ways of calling are compared with what an edit of a layer answers."""

_GLIMPSE = 100
"""How many calls are spent on what nothing speaks of as a layer, in each layout."""


def partners(target: Target) -> list[str]:
    """The other functions of its file that answer as the backward of a forward function, with all of its gradients."""
    given = _trial_input(target.layout, {}, target.dtypes[0])
    kept = ("x", "dy", *target.parameters)
    shown, arrays = target.shown({name: given[name] for name in kept}, target.layout, TRIAL_EPS)
    notes, _ = target.sandbox.call({"op": "partners", **shown}, arrays)
    return list(notes["partners"])


def glimpsed(sandbox: Sandbox, number: int, described: Mapping[str, Any], address: Address) -> bool:
    """Whether what nothing speaks of as a layer behaves like one, in the few layouts where most would."""
    untried = _untried(sandbox, number, described, address, LAYERS["batch_norm"], None, "")
    untried = replace(untried, plan=replace(untried.plan, most=_GLIMPSE))
    families = [untried.plan.family] if described["family"] else sandbox.loaded["families"]
    failures: list[TargetFailed] = []
    for layer in (layer for layer in LAYERS.values() if layer.is_plain):
        for layout in (*layer.layouts, *_OTHER_LAYOUTS[layer.name]):
            sizes = fixed_sizes(layout, untried.features, untried.groups)
            if (
                sizes is None
                or len(layout.axes) - ("G" in layout.axes) not in (2, 3, 4)
                or (layout.reduced == "N" and len(layout.axes) > 2)
            ):
                continue
            here = replace(untried, layer=layer, layouts=(layout,))
            given = _trial_input(layout, sizes, untried.dtypes[0])
            trials = _in_one_layout(
                here, given, families, ("flat",), failures, {**described, "may_have_backward": False}
            )
            for trial in trials:
                if trial.parameters and trial.likeness > max(ALIKE, _likeness(given["x"], np.asarray(trial.first))):
                    return True
    return False


def recognised(
    sandbox: Sandbox,
    number: int,
    described: Mapping[str, Any],
    address: Address,
    layer: str | None,
    layout: Layout | None,
    partner: str = "",
) -> Target:
    """One candidate, tried out as every layer and in every layout that it may be; with a function as its backward."""
    layout = layout or (Layout.parse(described["layout"]) if described["layout"] else None)
    layers = [LAYERS[layer]] if layer else hinted(described["hint"], address.place)
    family = described["family"]
    untried = _untried(sandbox, number, described, address, layers[0], layout, partner)
    families = [family] if family else sandbox.loaded["families"]
    try:
        trials = _trials(untried, layers, layout, families, described)
        best = max(trials, key=_rank)  # the first of equals
        best = best if best.likeness > ALIKE or not described["sure"] else _edited(trials) or best
        target = _accepted(best, trials, described)
        dtypes = tuple(name for name in target.dtypes if _answers_in(target, name))
        narrowed = [name for name in dtypes if name == "float64" and _in_single(target)]
        spoken = tuple(name for name in dtypes if name not in narrowed)
        found = observed(replace(target, dtypes=spoken), pair=described["pair"])
        return replace(found, observations={**found.observations, **target.observations, "narrows": narrowed})
    except TargetFailed as failure:
        return replace(untried, failure=failure)


def _untried(
    sandbox: Sandbox,
    number: int,
    described: Mapping[str, Any],
    address: Address,
    layer: Layer,
    layout: Layout | None,
    partner: str,
) -> Target:
    """A candidate before anything was asked of it."""
    return Target(
        name=address.title if address.title == described["name"] else f"{address.title}:{described['name']}",
        recognised_as=described["words"],
        layer=layer,
        layouts=(layout or layer.layouts[0],),
        dtypes=tuple(described["dtypes"]),
        has_backward=described["has_backward"],
        parameters=layer.parameters,
        sandbox=sandbox,
        plan=Plan(number, described["family"] or "numpy", {}, partner=partner),
        features=tuple(described["sizes"].get("features", ())),
        groups=described["sizes"].get("groups", 0),
        takes_all=not described["holds"],
        may_have_backward=described["may_have_backward"],
        clears=tuple(described["clears"]),
    )


def hinted(hint: str, place: str) -> list[Layer]:
    """The layers that a name speaks of, that of the candidate before that of the file; all, where none does."""
    for text in (hint, Path(place).stem):
        named = [LAYERS[name] for name, pattern in _HINTS.items() if pattern.search(text)]
        if named:
            return named[:1]
    return [layer for layer in LAYERS.values() if layer.is_plain]


def _edited(trials: list[Target]) -> Target | None:
    """The first trial whose y is that of the layer with one edit in its forward pass: what it was meant to be."""
    last = None
    likeliest = sorted(trials, key=lambda one: (not one.plan.gradients, -round(one.likeness, 2)))
    for trial in likeliest[:_EDITED]:
        sizes = fixed_sizes(trial.layout, trial.features, trial.groups) or {}
        given = _trial_input(trial.layout, sizes, trial.dtypes[0])
        kept = {name: given[name] for name in trial.parameters}
        case = Case(trial.layout, given["x"], given["dy"], kept, TRIAL_EPS)
        edit = "" if trial.first is None else forward_edit(trial.layer, case, trial.first)
        if edit and edit not in _OTHER_AXES:
            return trial
        last = last or (trial if edit else None)
    return last


_OTHER_AXES = (
    *("axes", "axis-wrong", "layout-wrong", "per-activation", "statistics-over-everything", "batch-axis-reduced"),
)
"""Edits that may as well be another layout or layer, which is right."""


def _accepted(best: Target, trials: list[Target], described: Mapping[str, Any]) -> Target:
    """The target in the best way of calling, and in whatever other layouts it takes in the same way."""
    same = [
        one
        for one in trials
        if (one.layer, one.parameters, one.plan.gradients) == (best.layer, best.parameters, best.plan.gradients)
        and one.likeness > ALIKE
    ]
    same += _unlike(best, same, trials)
    other = [one for one in same if best.fits and not one.fits]  # it was written for fewer axes
    same = [one for one in same if one not in other]
    shapes = {one.layout: one.plan.shapes[one.layout] for one in reversed([best, *same])}
    bindings = {one.layout: one.plan.bindings[one.layout] for one in reversed([best, *same])}
    differentiates = best.plan.gradients and not described["has_backward"]
    by = f", differentiated by {best.plan.family}" if differentiates and best.plan.family != "numpy" else ""
    return replace(
        best,
        layouts=tuple(dict.fromkeys([best.layout, *(one.layout for one in same)])),
        plan=replace(best.plan, shapes=shapes, bindings=bindings),
        has_backward=best.has_backward or differentiates,
        observations={"misshapen": [str(one.layout) for one in other]} if other else {},
        recognised_as=f"{described['words']}{by}; {best.layer.name} on {best.layout}",
    )


def _rank(trial: Target) -> tuple[bool, bool, bool, float, bool]:
    """How much speaks for a trial.

    That its y is like the layer's, that it has gradients, that y follows nothing else, how like it is, how whole.
    """
    like = trial.likeness > ALIKE
    return like, trial.plan.gradients, not trial.unknown, round(trial.likeness, 2), trial.whole


def _unlike(best: Target, same: list[Target], trials: list[Target]) -> list[Target]:
    """The layouts of more axes that it takes in the same way although its answers there are not the layer's.

    They are where no layout with as many axes is right, and the answer is no accident of code that was written for
    fewer axes: then it would normalize over axes in the same places, from the left or from the right.
    """
    ranks = {len(one.layout.axes) for one in [best, *same]}
    kind = best.plan.shapes[best.layout]
    found = []
    for one in trials:
        layout, plan = one.layout, one.plan
        usual = layout in one.layer.layouts and one.layer == best.layer and plan.shapes[layout] == kind
        called = usual and (one.parameters, plan.gradients) == (best.parameters, best.plan.gradients)
        more = len(layout.axes) > len(best.layout.axes) and len(layout.axes) not in ranks
        if called and more and not _by_accident(best, one):
            found.append(one)
    return found


def _by_accident(best: Target, trial: Target) -> bool:
    """Whether a trial's x̂ is what code for the best layout makes of more axes.

    It normalizes over the axes in its places, or over all but one in the place of its channels, from the left or the
    right.
    """
    given = _trial_input(trial.layout, trial.fixed_sizes(), trial.dtypes[0])
    stored = {name: np.full_like(given[name], name == "gamma") for name in trial.parameters}
    try:
        y = trial.forward(given["x"], stored)
    except TargetFailed:
        return True
    rank, axes = len(best.layout.axes), best.layout.reduced_axes
    wide = len(trial.layout.axes)
    channels = [k for k in range(rank) if k not in axes]
    rests = [tuple(k for k in range(wide) if k not in kept) for kept in (channels, [k - rank + wide for k in channels])]
    for places in (axes, tuple(k - rank for k in axes), *rests):
        named = trial.layer.forward(
            given["x"].astype(np.float64),
            {},
            TRIAL_EPS,
            mean=lambda a, places=places: a.mean(places, keepdims=True),
            sqrt=np.sqrt,
        )
        if _likeness(y, np.asarray(named["y"])) > ALIKE:
            return True
    return False


def _trials(
    target: Target, layers: list[Layer], layout: Layout | None, families: list[str], described: Mapping[str, Any]
) -> list[Target]:
    """Every way of calling that the target accepts, up to the first layer that its output is like.

    Raises
        TargetFailed: it accepts none, with the commonest reason; or it must not be tried further.
    """
    spatial = _SPATIAL.search(described["hint"]) is not None
    kinds = ("case",) if described["as_in_case"] else ("flat", "kept", "row", "stored")
    trials: list[Target] = []
    failures: list[TargetFailed] = []
    binding: Any = None
    for layer in layers:
        own = layer.layouts if layout is None else (layout,)
        extra = _OTHER_LAYOUTS.get(layer.name, ()) if layout is None else ()
        for one in (*sorted(own, key=lambda one: spatial and len(one.axes) < 4), *extra):
            if one in extra and any(trial.likeness > _SAME for trial in trials):
                break
            for groups in _numbers_of_groups(one, target.groups):
                sizes = fixed_sizes(one, target.features, groups)
                if sizes is None:
                    continue
                given = _trial_input(one, sizes, target.dtypes[0])
                known = replace(target.plan, bindings={} if binding is None else {one: binding})
                here = replace(target, layer=layer, layouts=(one,), plan=known, groups=groups)
                found: list[Target] = []
                for trial in _in_one_layout(here, given, families, kinds, failures, described):
                    found.append(trial)
                    if trial.plan.gradients and trial.likeness > ALIKE:
                        binding = trial.plan.bindings[one] if trial.whole else binding
                        break
                like = any(trial.likeness > ALIKE for trial in found)
                trials += found if like or groups == target.groups else []
                if like or any(map(_is_handed_groups, found)):
                    break
        if any(trial.likeness > ALIKE and not trial.unknown for trial in trials):
            break
    if not trials:
        words = [re.sub(r"\(.*?\)|\d", "", failure.text) for failure in failures]  # without shapes and lines
        commonest = Counter(words).most_common(1)  # a bug shows in every layout, a wrong guess in one
        common = failures[words.index(commonest[0][0])] if commonest else None
        if failures and failures[0].reason == "answer":  # it ran where most do, and answered something else
            common = failures[0]
        raise common or TargetFailed("answer", f"{target.name} has sizes that fit no layout.")
    return trials


_GROUPS = (2, 4, 8, 16, 32)
"""The numbers of groups that code may keep to itself."""


def _numbers_of_groups(layout: Layout, known: int) -> Iterator[int]:
    """The numbers of groups to try: that which an instance is made for, else any (0), then those that are usual."""
    yield known
    if "G" in layout.axes and not known:
        yield from _GROUPS


def _is_handed_groups(trial: Target) -> bool:
    """Whether the number of groups was handed over, so that no other has to be looked for."""
    binding = trial.plan.bindings[trial.layout]
    return binding is None or "groups" in {*(binding["build"] or {}).values(), *binding["takes"].values()}


def _in_one_layout(
    target: Target,
    given: dict[str, Array],
    families: list[str],
    kinds: tuple[str, ...],
    failures: list[TargetFailed],
    described: Mapping[str, Any],
) -> Iterator[Target]:
    """The ways of calling in one layout: γ and β in different shapes, arrays of different libraries."""
    layer, layout = target.layer, target.layout
    shapes = parameter_shapes(layout, given["x"].shape)
    for kind in [kind for k, kind in enumerate(kinds) if shapes[kind] not in [shapes[one] for one in kinds[:k]]]:
        for family in families:
            plan = replace(target.plan, family=family, shapes={layout: kind})
            owed = target.has_backward
            for wanted in ("gradients", "y"):
                if wanted == "gradients" and not described["may_have_backward"]:
                    continue
                sent = {name: value for name, value in given.items() if wanted == "gradients" or name != "dy"}
                sent = {
                    name: value for name, value in sent.items() if name not in PARAMETERS or name in layer.parameters
                }
                try:
                    answers, notes = replace(target, plan=plan).ask(sent, layout, TRIAL_EPS)
                except TargetFailed as failure:
                    if failure.reason in HARD:
                        raise
                    failures.append(failure)
                    owed = owed or (wanted == "gradients" and failure.reason != "no gradient")
                    continue
                if family == "numpy" and notes["returned"] == "jax" and not target.has_backward:
                    break  # a function of JAX's takes NumPy's arrays too, but is differentiated with its own
                parameters = tuple(name for name in layer.parameters if name in notes["used"])
                expected = _expected(layer, layout, given, parameters)
                likeness = _likeness(answers["y"], expected)
                plan = replace(
                    plan,
                    gradients=wanted == "gradients" and "dx" in answers,
                    takes_eps="eps" in notes["used"],
                    bindings={layout: notes.get("binding")},
                )
                seen: dict[str, Any] = {"parameters": parameters, "likeness": likeness, "first": answers["y"]}
                owed_sizes = {f"d{name}": given[name].size for name in parameters}
                seen["fits"] = all(answers[name].size == n for name, n in owed_sizes.items() if name in answers)
                seen |= {"whole": notes.get("whole", True), "places": notes.get("places", {})}
                seen |= {name: tuple(notes.get(name, ())) for name in ("left_over", "unknown", "neutral")}
                trial = replace(target, plan=plan, has_backward=owed, **seen)
                if "G" in layout.axes and not _is_handed_groups(trial):  # then it keeps to a number of its own
                    trial = replace(trial, groups=given["x"].shape[layout.axes.index("G")])
                yield trial
                break


def _trial_input(layout: Layout, sizes: Mapping[str, int], dtype: str) -> dict[str, Array]:
    """Input that tells layouts apart: no two axes are alike, and every group has a mean and a spread of its own."""
    shape = shape_of(layout, TRIAL, sizes)
    stored = layout.parameter_shape(shape)
    rng = np.random.default_rng(0)
    places = np.indices(shape).astype(np.float64)
    spread = np.exp(sum(np.sin((k + 2) * place + k) for k, place in enumerate(places)) / 2)
    offset = sum(np.cos((k + 3) * place + k) for k, place in enumerate(places))
    drawn = {"gamma": rng.uniform(1, 2, stored), "beta": rng.normal(size=stored)}
    drawn |= {"x": spread * rng.normal(size=shape) + offset, "dy": rng.normal(size=shape)}
    return {name: value.astype(dtype) for name, value in drawn.items()}


def _expected(layer: Layer, layout: Layout, given: Mapping[str, Array], parameters: tuple[str, ...]) -> Array:
    wide = {name: value.astype(np.float64) for name, value in given.items()}
    named = layer.forward(
        wide["x"],
        {name: layout.broadcastable(wide[name]) for name in parameters},
        TRIAL_EPS,
        mean=lambda a: a.mean(layout.reduced_axes, keepdims=True),
        sqrt=np.sqrt,
    )
    return np.asarray(named["y"])


def _likeness(got: Array, expected: Array) -> float:
    """The correlation of two outputs; 0 where there is none to speak of."""
    if not np.isfinite(got).all() or not np.ptp(got):
        return 0.0
    with np.errstate(all="ignore"):
        return float(np.nan_to_num(np.corrcoef(got.ravel().astype(np.float64), expected.ravel())[0, 1]))


def _answers_in(target: Target, dtype: str) -> bool:
    """Whether the target answers numbers of at least that precision."""
    given = _trial_input(target.layout, target.fixed_sizes(), dtype)
    kept = {name: given[name] for name in ("x", *target.parameters)}
    try:
        y = target.forward(kept.pop("x"), kept)
    except TargetFailed as failure:
        if failure.reason in HARD:
            raise
        return False
    return y.dtype.itemsize >= np.dtype(dtype).itemsize


def _in_single(target: Target) -> bool:
    """Whether what it answers in double precision was computed in single: each x̂ is then a number of that."""
    given = _trial_input(target.layout, target.fixed_sizes(), "float64")
    plain = {name: np.full_like(given[name], name == "gamma") for name in target.parameters}
    y = target.forward(given["x"], plain)
    return bool(np.isfinite(y).all() and y.any() and np.array_equal(y, y.astype(np.float32)))
