"""Anybody's implementation as a suspect: found in a file, tried out, and put behind `vjp(case) -> Gradients`.

Everything that is believed about a target was learned by calling it in its sandbox: which layer it is and in which
layouts, whose arrays it takes, and its dtypes. Names only order what is tried.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from bncheck.case import Array, Layout
from bncheck.errors import InvalidInput, MissingPackage, TargetFailed
from bncheck.layers import LAYERS, Layer
from bncheck.targets.calls import TRIAL_EPS, Plan, Target, fixed_sizes, parameter_shapes
from bncheck.targets.observations import observed
from bncheck.targets.sandbox import MEMORY_LIMIT, TIME_LIMIT, Sandbox

ADAPTER = '''"""How bncheck is to call {target}: mend the lines marked <-, then check this file instead."""

from {module} import backward, forward  # <-

LAYER, LAYOUT = "batch_norm", "NC:N:C"  # <- axes of x : those that one mean covers : those along which gamma varies


def vjp(case):  # its arrays cannot be written to
    y, cache = forward(case.x, case.parameters["gamma"], case.parameters["beta"], case.eps)  # <-
    dx, dgamma, dbeta = backward(case.dy, cache)  # <-
    return {{"y": y, "dx": dx, "dgamma": dgamma, "dbeta": dbeta}}
'''

_FRAMEWORKS = ("torch", "jax", "flax", "keras", "onnx")
_HARD = frozenset({"timeout", "exited", "died", "memory"})  # reasons after which nothing more is tried
_SIZES = MappingProxyType({"N": 8, "C": 3, "L": 4, "D": 5, "H": 4, "W": 7, "G": 2, "K": 3})
_HINTS = MappingProxyType(
    {
        "rms_norm": re.compile(r"rms", re.IGNORECASE),
        "layer_norm": re.compile(r"layer_?norm|(?<![a-z])ln(?![a-z])", re.IGNORECASE),
        "instance_norm": re.compile(r"instance|(?<![a-z])in_?norm", re.IGNORECASE),
        "group_norm": re.compile(r"group_?norm|(?<![a-z])gn(?![a-z])", re.IGNORECASE),
        "batch_norm": re.compile(r"batch_?norm|(?<![a-z])bn(?![a-z])", re.IGNORECASE),
    }
)
_SPATIAL = re.compile(r"spatial|[23]d|conv", re.IGNORECASE)
_FEATURES_FIRST = Layout("CN", reduced="N", affine="C")  # some courses keep each sample in a column
_ALIKE = 0.95
"""The correlation from which on a layout is believed: most bugs in a formula leave more, another layout less."""


_HARDLY = 0.5
"""The correlation below which code whose name speaks of no layer is not taken for one."""


@dataclass(frozen=True)
class Address:
    """Where a target is: a file or a module, and perhaps a name in it.

    >>> Address.parse("torch.nn:BatchNorm2d")
    Address(place='torch.nn', name='BatchNorm2d')
    """

    place: str
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Reads ``FILE.py[:NAME]``, ``FILE.onnx`` or ``package.module[:NAME]``.

        Raises
            InvalidInput: none of these, or no such file.
        """
        place, name = text, ""
        if not place.endswith((".py", ".onnx")):
            place, _, name = text.rpartition(":") if ":" in text else (text, "", "")
        if place.endswith((".py", ".onnx")):
            if not Path(place).is_file():
                raise InvalidInput("target", text, "a file that exists", f"Is {place} the right path?")
        elif not all(part.isidentifier() for part in place.split(".")):
            raise InvalidInput(
                "target", text, "FILE.py, FILE.py:NAME, FILE.onnx, package.module or package.module:NAME"
            )
        return cls(place, name)

    @property
    def title(self) -> str:
        """The file's own name, or the module's."""
        return Path(self.place).name if self.place.endswith((".py", ".onnx")) else self.place

    def frameworks(self) -> tuple[str, ...]:
        """The frameworks that it needs, as far as can be told without running it."""
        if not self.place.endswith(".py"):
            first = "onnx" if self.place.endswith(".onnx") else self.place.partition(".")[0]
            return tuple(name for name in _FRAMEWORKS if name == first)
        try:
            tree = list(ast.walk(ast.parse(Path(self.place).read_bytes())))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return ()
        named = {alias.name for node in tree if isinstance(node, ast.Import) for alias in node.names}
        named |= {node.module or "" for node in tree if isinstance(node, ast.ImportFrom)}
        return tuple(name for name in _FRAMEWORKS if name in {one.partition(".")[0] for one in named})


@contextmanager
def open_target(
    text: str,
    *,
    layer: str | None = None,
    layout: Layout | None = None,
    style: str | None = None,
    time_limit: float = TIME_LIMIT,
    memory_limit: int = MEMORY_LIMIT,
) -> Iterator[list[Target]]:
    """Every target in a file or module, in its own order, each recognised by a trial call; ends the sandbox on leaving.

    `layer` and `layout` say what it is instead of letting names and numbers decide; `style` keeps only those whose
    `recognised_as` holds these words. For the limits see `bncheck.targets.sandbox`.

    Raises
        InvalidInput: there is nothing that could be called; `adapter` then gives a file to start from.
        TargetFailed: the file cannot be run, and why.
        MissingPackage: an ONNX file, and onnx is not installed.
    """
    if layer is not None and layer not in LAYERS:
        raise InvalidInput.unknown("layer", layer, LAYERS)
    address = Address.parse(text)
    if address.place.endswith(".onnx") and importlib.util.find_spec("onnx") is None:
        raise MissingPackage("onnx", "onnx", "reading an ONNX file")
    started = Sandbox(
        address.place, address.name, address.frameworks(), time_limit=time_limit, memory_limit=memory_limit
    )
    with started as sandbox:
        loaded = sandbox.load()
        candidates = [(k, one) for k, one in enumerate(loaded["candidates"]) if (style or "") in one["words"]]
        if not candidates:
            raise _nothing_found(text, loaded["remarks"])
        found = [_recognised(sandbox, k, one, address, layer, layout) for k, one in candidates]
        kept = found if address.name or style or layer else _without_bystanders(found)
        if not kept:
            raise _nothing_found(text, [f"{target.name} does not normalize" for target in found])
        yield kept


def _without_bystanders(found: list[Target]) -> list[Target]:
    """Leaves out what only looks like a layer: unlike any and named after none, or a forward alone beside others."""
    unlike = [t for t in found if t.failure is None and t.likeness < _HARDLY and len(_hinted(t.name, "")) > 1]
    works = [t for t in found if t.failure is None and t not in unlike]
    able = [t for t in works if t.has_backward] or works
    if not able:
        return [t for t in found if t not in unlike or t.has_backward]
    return [t for t in found if t in able or (t.failure and (t.has_backward or t.failure.reason in _HARD))]


def adapter(text: str) -> str:
    """A file to start from where a target is not recognised: bncheck's own contract around somebody's two calls.

    >>> "def vjp(case):" in adapter("mine.py")
    True
    """
    place = text.rpartition(":")[0] if ":" in text and not text.endswith(".py") else text
    return ADAPTER.format(target=text, module=Path(place).stem if place.endswith(".py") else place)


def _nothing_found(text: str, remarks: list[str]) -> InvalidInput:
    seen = f"; seen: {', '.join(remarks[:3])}" if remarks else ""
    return InvalidInput(
        "target",
        text,
        "forward(x, gamma, beta, eps) with backward(dy, cache), a class with both methods, a torch, Flax or Keras "
        f"layer, or a JAX function{seen}",
        "Name it as FILE.py:NAME, or write an adapter: bncheck check --adapter prints one.",
    )


def _recognised(
    sandbox: Sandbox,
    number: int,
    described: Mapping[str, Any],
    address: Address,
    layer: str | None,
    layout: Layout | None,
) -> Target:
    """One candidate, tried out as every layer and in every layout that it may be."""
    layout = layout or (Layout.parse(described["layout"]) if described["layout"] else None)
    layers = [layer] if layer else _hinted(described["hint"], address.place)
    family = described["family"]
    untried = Target(
        name=address.title if address.title == described["name"] else f"{address.title}:{described['name']}",
        recognised_as=described["words"],
        layer=layers[0],
        layouts=(layout or LAYERS[layers[0]].layouts[0],),
        dtypes=tuple(described["dtypes"]),
        has_backward=described["has_backward"],
        parameters=LAYERS[layers[0]].parameters,
        sandbox=sandbox,
        plan=Plan(number, family or "numpy", {}),
        features=tuple(described["sizes"].get("features", ())),
        groups=described["sizes"].get("groups", 0),
    )
    families = [family] if family else sandbox.loaded["families"]
    try:
        trials = _trials(untried, layers, layout, families, described)
        best = max(trials, key=lambda one: (one.plan.gradients, round(one.likeness, 2)))  # the first of equals
        target = _accepted(best, trials, described)
        dtypes = tuple(name for name in target.dtypes if _answers_in(target, name))
        return observed(replace(target, dtypes=dtypes), pair=described["pair"])
    except TargetFailed as failure:
        return replace(untried, failure=failure)


def _hinted(hint: str, place: str) -> list[str]:
    """The layers that a name speaks of, that of the candidate before that of the file; all, where none does."""
    for text in (hint, Path(place).stem):
        found = [name for name, pattern in _HINTS.items() if pattern.search(text)]
        if found:
            return found[:1]
    return [name for name, layer in LAYERS.items() if layer.is_plain]


def _accepted(best: Target, trials: list[Target], described: Mapping[str, Any]) -> Target:
    """The target in the best way of calling, and in whatever other layouts it takes in the same way."""
    same = [
        one
        for one in trials
        if (one.layer, one.parameters, one.plan.gradients) == (best.layer, best.parameters, best.plan.gradients)
        and one.likeness > _ALIKE
    ]
    shapes = {one.layout: one.plan.shapes[one.layout] for one in reversed([best, *same])}
    differentiates = best.plan.gradients and not described["has_backward"]
    by = f", differentiated by {best.plan.family}" if differentiates else ""
    return replace(
        best,
        layouts=tuple(dict.fromkeys([best.layout, *(one.layout for one in same)])),
        plan=replace(best.plan, shapes=shapes),
        has_backward=best.has_backward or differentiates,
        recognised_as=f"{described['words']}{by}; {best.layer} on {best.layout}",
    )


def _trials(
    target: Target, layers: list[str], layout: Layout | None, families: list[str], described: Mapping[str, Any]
) -> list[Target]:
    """Every way of calling that the target accepts, up to the first layer that its output is like.

    Raises
        TargetFailed: it accepts none, with the commonest reason; or it must not be tried further.
    """
    spatial = _SPATIAL.search(described["hint"]) is not None
    kinds = ("case",) if described["as_in_case"] else ("flat", "kept", "row", "stored")
    found: list[Target] = []
    failures: list[TargetFailed] = []
    for name in layers:
        own = LAYERS[name].layouts if layout is None else (layout,)
        extra = (_FEATURES_FIRST,) if name == "batch_norm" and layout is None else ()
        for one in sorted((*own, *extra), key=lambda one: spatial and len(one.axes) < 4):
            sizes = fixed_sizes(one, target.features, target.groups)
            if sizes is None:
                continue
            given = _trial_input(one, sizes, target.dtypes[0])
            here = replace(target, layer=name, layouts=(one,))
            for trial in _in_one_layout(here, given, families, kinds, failures):
                found.append(trial)
                if trial.plan.gradients and trial.likeness > _ALIKE:
                    break
        if any(trial.likeness > _ALIKE for trial in found):
            break
    if not found:
        words = [re.sub(r"\(.*?\)|\d", "", failure.text) for failure in failures]  # without shapes and lines
        told = Counter(words).most_common(1)  # a bug shows in every layout, a wrong guess in one
        common = failures[words.index(told[0][0])] if told else None
        raise common or TargetFailed("answer", f"{target.name} has sizes that fit no layout.")
    return found


def _in_one_layout(
    target: Target,
    given: dict[str, Array],
    families: list[str],
    kinds: tuple[str, ...],
    failures: list[TargetFailed],
) -> Iterator[Target]:
    """The ways of calling in one layout: γ and β in different shapes, arrays of different libraries."""
    layer, layout = LAYERS[target.layer], target.layout
    shapes = parameter_shapes(layout, given["x"].shape)
    for kind in [kind for k, kind in enumerate(kinds) if shapes[kind] not in [shapes[one] for one in kinds[:k]]]:
        for family in families:
            plan = replace(target.plan, family=family, shapes={layout: kind})
            owed = target.has_backward
            for wanted in ("gradients", "y"):
                able = target.has_backward or family != "numpy"
                if wanted == "gradients" and not able:
                    continue
                sent = {name: value for name, value in given.items() if wanted == "gradients" or name != "dy"}
                try:
                    answers, notes = replace(target, plan=plan).ask(sent, layout, TRIAL_EPS)
                except TargetFailed as failure:
                    if failure.reason in _HARD:
                        raise
                    failures.append(failure)
                    owed = owed or (wanted == "gradients" and failure.reason != "no gradient")
                    continue
                if family == "numpy" and notes["returned"] == "jax" and not target.has_backward:
                    break  # a function of JAX's takes NumPy's arrays too, but is differentiated with its own
                parameters = tuple(name for name in layer.parameters if name in notes["used"])
                expected = _expected(layer, layout, given, parameters)
                likeness = _likeness(answers["y"], expected)
                plan = replace(plan, gradients=wanted == "gradients", takes_eps="eps" in notes["used"])
                yield replace(target, plan=plan, parameters=parameters, likeness=likeness, has_backward=owed)
                break


def _trial_input(layout: Layout, sizes: Mapping[str, int], dtype: str) -> dict[str, Array]:
    """Input that tells layouts apart: no two axes are alike, and every group has a mean and a spread of its own."""
    shape = tuple({**_SIZES, **sizes}[axis] for axis in layout.axes)
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
    return float(np.corrcoef(got.ravel().astype(np.float64), expected.ravel())[0, 1])


def _answers_in(target: Target, dtype: str) -> bool:
    """Whether the target answers numbers of at least that precision."""
    given = _trial_input(target.layout, target.fixed_sizes(), dtype)
    kept = {name: given[name] for name in ("x", *target.parameters)}
    try:
        y = target.forward(kept.pop("x"), kept)
    except TargetFailed as failure:
        if failure.reason in _HARD:
            raise
        return False
    return y.dtype.itemsize >= np.dtype(dtype).itemsize
