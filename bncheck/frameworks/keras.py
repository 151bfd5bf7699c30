"""Keras's normalization layers as suspects, on its torch or jax backend, whose gradients are the backend's.

A Keras that is imported already keeps its backend; otherwise KERAS_BACKEND decides, and without it what is installed.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bncheck.case import Gradients
from bncheck.errors import InvalidInput
from bncheck.frameworks.asking.conventions import Framework, Posed
from bncheck.frameworks.asking.packages import Package
from bncheck.frameworks.asking.suspects import CUBE, ONE_PASS, Suspect, narrow, suspect
from bncheck.layers import LAYERS

BACKENDS = ("torch", "jax")

FRAMEWORK = Framework(
    "keras", "Keras", "keras", (("keras",), BACKENDS), eps=1e-3, momentum=0.99, weighs="old", ddof=0, channels="last"
)


def _imported(name: str) -> Any:
    if "keras" not in sys.modules and "KERAS_BACKEND" not in os.environ:
        installed = [name for name in BACKENDS if importlib.util.find_spec(name)]
        if not installed:
            raise ImportError(f"Keras without {' or '.join(BACKENDS)}")
        os.environ["KERAS_BACKEND"] = installed[0]
        try:
            return importlib.import_module(name)
        finally:
            del os.environ["KERAS_BACKEND"]
    return importlib.import_module(name)


keras: Any = Package("keras", _imported)

MODULES: Mapping[str, Callable[[Posed, dict[str, Any]], Any]] = {
    "batch_norm": lambda p, mode: keras.layers.BatchNormalization(**mode),
    "batch_norm_running": lambda p, mode: keras.layers.BatchNormalization(momentum=p.momentum, **mode),
    "batch_norm_eval": lambda p, mode: keras.layers.BatchNormalization(**mode),
    "layer_norm": lambda p, mode: keras.layers.LayerNormalization(axis=_last(p), **mode),
    "instance_norm": lambda p, mode: keras.layers.GroupNormalization(groups=-1, **mode),
    "group_norm": lambda p, mode: keras.layers.GroupNormalization(groups=p.groups, **mode),
    "rms_norm": lambda p, mode: keras.layers.RMSNormalization(axis=_last(p), **mode),
}


def _last(p: Posed) -> list[int]:
    return list(range(len(p.shape) - len(p.parameter_shape), len(p.shape)))


def _call(p: Posed, x: Any, **given: Any) -> dict[str, Any]:
    mode: dict[str, Any] = {"epsilon": p.eps, "dtype": p.case.dtype.name, "name": "suspect"}
    if "beta" in p.layer.parameters:
        mode |= {"scale": "gamma" in given, "center": "beta" in given}
    layer = MODULES[p.layer.name](p, mode)
    layer.build(p.shape)
    own = {variable.name: variable.value for variable in layer.variables}
    own |= {_OWN_NAMES["beta" in p.layer.parameters][name]: value for name, value in given.items()}
    trainable = [own[variable.name] for variable in layer.trainable_variables]
    rest = [own[variable.name] for variable in layer.non_trainable_variables]
    training = {"training": not p.evaluates} if isinstance(layer, keras.layers.BatchNormalization) else {}
    y, rest = layer.stateless_call(trainable, rest, x, **training)
    return {"y": y, **{f"new_{name}": value for name, value in zip(p.renewed, rest, strict=False)}}


_USUAL = {"gamma": "gamma", "beta": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
_OWN_NAMES = {True: _USUAL, False: {"gamma": "scale"}}


def answer(way: str, posed: Posed) -> Gradients:
    """What Keras answers on its backend."""
    backend = keras.backend.backend()
    if backend not in BACKENDS:
        raise InvalidInput("KERAS_BACKEND", backend, f"one of {', '.join(BACKENDS)}", "Set it, or leave it out.")
    module = importlib.import_module(f"bncheck.frameworks.{backend}")
    with keras.device("cpu"):
        return posed.answer(module.vjp(_call, posed))


_NAMES = {
    "batch_norm": "BatchNormalization",
    "batch_norm_running": "BatchNormalization",
    "batch_norm_eval": "BatchNormalization",
    "layer_norm": "LayerNormalization",
    "instance_norm": "GroupNormalization(groups=-1)",
    "group_norm": "GroupNormalization",
    "rms_norm": "RMSNormalization",
}


def _suspects() -> Iterator[Suspect]:
    """Not in float64, which Keras computes in float32, nor in bfloat16, which it does not take."""
    for name, module in _NAMES.items():
        moments = name in ("batch_norm", "batch_norm_running", "instance_norm", "group_norm")
        known = () if name == "batch_norm_eval" else (ONE_PASS, CUBE) if moments else (CUBE,)
        yield suspect(FRAMEWORK, answer, f"keras.layers.{module}", LAYERS[name], takes=narrow, known=known)


SUSPECTS = tuple(_suspects())
