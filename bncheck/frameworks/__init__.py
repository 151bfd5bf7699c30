"""How to call other people's code: each suspect answers a case as an oracle does, `vjp(case) -> Gradients`.

A framework is imported only when one of its suspects is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from bncheck.case import Case, Gradients
from bncheck.formats import Format, working
from bncheck.frameworks.conventions import FRAMEWORKS, fits, named_frameworks
from bncheck.layers import LAYERS, Layer

__all__ = ["FRAMEWORKS", "SUSPECTS", "Finding", "Suspect", "named_frameworks", "of_frameworks", "suspect_of"]


def _every(case: Case) -> bool:
    return True


@dataclass(frozen=True)
class Finding:
    """Something really amiss in somebody's code, found by bncheck and kept here instead of a looser tolerance."""

    words: str
    shows: Callable[[Case], bool]


@dataclass(frozen=True)
class Suspect:
    """Somebody's implementation of one layer, the framework it belongs to, and which cases it takes.

    `forward_only` says that it has no gradient: it answers y, and the running statistics where there are any.
    `rounds_once` names the results that it computes in float32 where a case has a half type, and rounds at the end.
    """

    name: str
    vjp: Callable[[Case], Gradients]
    layer: str = ""
    framework: str = ""
    takes: Callable[[Case], bool] = _every
    known: tuple[Finding, ...] = ()
    forward_only: bool = False
    rounds_once: tuple[str, ...] = ()

    def known_on(self, case: Case) -> str:
        """What is known to be amiss with it on this case, in words; nothing where it should be right."""
        return next((finding.words for finding in self.known if finding.shows(case)), "")


def _several_values(case: Case) -> bool:
    return case.count > 1  # torch refuses to normalize a single value


def _several_values_of_a_channel(case: Case) -> bool:
    return bool(case.x.size > case.x.shape[1] * case.x.shape[2])


def _cumulative(case: Case) -> bool:
    return _several_values(case) and float(1 / case.settings["new_weight"]).is_integer()


def _narrow(case: Case) -> bool:
    """Keras computes float64 in float32, and ONNX Runtime has no instance norm for it; neither takes bfloat16."""
    return case.dtype in (np.float32, np.float16)


def _exact_eps(case: Case) -> bool:
    """An ONNX attribute is a float32."""
    return _narrow(case) or (case.dtype == np.float64 and float(np.float32(case.eps)) == case.eps)


def _cube_underflows(case: Case) -> bool:
    """Near 1e13 in float32, in which half types are computed, and 1e102 in float64."""
    largest, normal = float(np.abs(case.x).max()), Format.of(working(case.dtype)).normal
    return bool(largest > normal ** (-1 / 3))


def _mean_outweighs(case: Case) -> bool:
    """In some group E[x²] loses a bit or more when E[x]² is taken away."""
    x, axes = case.x.astype(np.float64), case.layout.reduced_axes
    return bool((x.mean(axis=axes) ** 2 > x.var(axis=axes)).any())


def _float16(case: Case) -> bool:
    return case.dtype == np.float16


CUBE = Finding("its backward cubes the inverse root, which underflows for large x", _cube_underflows)
ONE_PASS = Finding("its variance is E[x²] − E[x]², which cancels where the mean outweighs the spread", _mean_outweighs)
SAVED = Finding("its reverse mode takes saved statistics for constants, so the second order is wrong", _every)
HALF = Finding("in float16 its derivative of the derivative leaves float16's range on the way", _float16)

_REFUSED = {  # by the training modes of torch
    "batch_norm": _several_values,
    "batch_norm_running": _several_values,
    "instance_norm": _several_values,
    "group_norm": _several_values_of_a_channel,
}

_TORCH = {
    "batch_norm": ("batch_norm", "BatchNorm"),
    "batch_norm_running": ("batch_norm", "BatchNorm"),
    "batch_norm_eval": ("batch_norm", "BatchNorm"),
    "layer_norm": ("layer_norm", "LayerNorm"),
    "instance_norm": ("instance_norm", "InstanceNorm"),
    "group_norm": ("group_norm", "GroupNorm"),
    "rms_norm": ("rms_norm", "RMSNorm"),
}
"""For each layer torch's function and module; which rank the module is of follows from the case."""

_SAVED_TAKEN_FOR_CONSTANT = ("batch_norm", "layer_norm", "instance_norm")
"""Where torch's reverse mode over its forward mode is wrong on every case."""

_ROUNDED_ONCE = {
    "batch_norm": ("dbeta",),
    "batch_norm_eval": ("y", "dx", "dgamma", "dbeta"),
    "layer_norm": ("y",),
    "group_norm": ("y", "dbeta"),
    "rms_norm": ("y", "dx", "dgamma"),
}
"""What torch computes in float32 in half types, and rounds at the end: see tests/test_bfloat16.py."""

_KERAS = {
    "batch_norm": "BatchNormalization",
    "batch_norm_running": "BatchNormalization",
    "batch_norm_eval": "BatchNormalization",
    "layer_norm": "LayerNormalization",
    "instance_norm": "GroupNormalization(groups=-1)",
    "group_norm": "GroupNormalization",
    "rms_norm": "RMSNormalization",
}

_ONNX = {**_KERAS, "instance_norm": "InstanceNormalization"}


def _suspect(
    framework: str,
    name: str,
    layer: str,
    way: str = "",
    takes: Callable[[Case], bool] = _every,
    known: tuple[Finding, ...] = (),
    forward_only: bool = False,
    rounds_once: tuple[str, ...] = (),
) -> Suspect:
    convention = FRAMEWORKS[framework]

    def vjp(case: Case) -> Gradients:
        module = importlib.import_module(f"bncheck.frameworks.{framework}")
        answered: Gradients = module.answer(way, convention.pose(case, layer))
        return answered

    def taken(case: Case) -> bool:
        return fits(case, layer) and case.settings.get("ddof", convention.ddof) == convention.ddof and takes(case)

    return Suspect(name, vjp, layer, framework, taken, known, forward_only, rounds_once)


def _suspects() -> Iterable[Suspect]:
    for layer, (function, module) in _TORCH.items():
        takes = _REFUSED.get(layer, _every)
        cubes = (CUBE,) if layer == "rms_norm" else ()
        once = _ROUNDED_ONCE.get(layer, ())
        for name, way in ((f"torch.nn.functional.{function}", "functional"), (f"torch.nn.{module}", "module")):
            yield _suspect("torch", name, layer, way, takes, cubes, rounds_once=once)
        if layer == "batch_norm_running":
            yield _suspect("torch", "torch.nn.BatchNorm(momentum=None)", layer, "cumulative", _cumulative)
            continue
        twice = () if layer == "batch_norm_eval" else (CUBE, HALF)
        yield _suspect("torch", f"torch.func.jvp({function})", f"{layer}_jvp", "jvp", takes, twice)
        over = (SAVED, *twice) if layer in _SAVED_TAKEN_FOR_CONSTANT else twice
        backward = f"backward of torch.func.jvp({function})"
        yield _suspect("torch", backward, f"{layer}_jvp", "backward of jvp", takes, over)
        yield _suspect("torch", f"torch double backward({function})", f"{layer}_jvp", "double backward", takes, twice)
    for layer, (_, module) in _TORCH.items():
        cubes = () if layer == "batch_norm_eval" else (CUBE,)
        if layer in ("batch_norm_eval", "rms_norm"):
            yield _suspect("jax", f"flax.nnx.{module}", layer, "two-pass", known=cubes)
        else:
            yield _suspect("jax", f"flax.nnx.{module}", layer, "one-pass", known=(ONE_PASS, CUBE))
            yield _suspect("jax", f"flax.nnx.{module}, two-pass", layer, "two-pass", known=cubes)
        if layer != "batch_norm_running":
            yield _suspect("jax", f"jax.jvp({module}, two-pass)", f"{layer}_jvp", "jvp", known=cubes)
    for layer, name in _KERAS.items():
        moments = layer in ("batch_norm", "batch_norm_running", "instance_norm", "group_norm")
        others = () if layer == "batch_norm_eval" else (ONE_PASS, CUBE) if moments else (CUBE,)
        yield _suspect("keras", f"keras.layers.{name}", layer, takes=_narrow, known=others)
    for layer, name in _ONNX.items():
        takes = _narrow if layer == "instance_norm" else _exact_eps
        known = (ONE_PASS,) if layer == "group_norm" else ()
        yield _suspect("onnxruntime", f"onnxruntime {name}", layer, "", takes, known, forward_only=True)


SUSPECTS = tuple(_suspects())
"""Every suspect of every framework, layer by layer."""


def of_frameworks(layer: Layer, frameworks: Iterable[str]) -> list[Suspect]:
    """The suspects of a layer in these frameworks; a layer of one's own has none, whatever its name.

    Raises
        InvalidInput: an unknown framework.
        MissingPackage: one that is not installed.
    """
    names = {framework.name for framework in named_frameworks(frameworks)}
    if LAYERS.get(layer.name) != layer:
        return []
    return [suspect for suspect in SUSPECTS if suspect.layer == layer.name and suspect.framework in names]


def suspect_of(layer: str, name: str) -> Suspect | None:
    """The suspect of a layer that goes by this name; None for one that is nobody's framework."""
    return next((suspect for suspect in SUSPECTS if (suspect.layer, suspect.name) == (layer, name)), None)
