"""JAX and Flax's normalization layers as suspects, on the CPU: `jax.vjp`, and `jax.vjp` of `jax.jvp`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from bncheck.case import Gradients
from bncheck.frameworks.asking.conventions import Framework, Posed
from bncheck.frameworks.asking.packages import Package
from bncheck.frameworks.asking.suspects import CUBE, ONE_PASS, Suspect, jvp_of, suspect
from bncheck.layers import LAYERS
from bncheck.tangents import tangent_of

FRAMEWORK = Framework(
    "jax", "JAX and Flax", "jax", (("jax",), ("flax",)), eps=1e-5, momentum=0.99, weighs="old", ddof=0, channels="last"
)

jax: Any = Package("jax")
nnx: Any = Package("flax.nnx")

Call = Callable[..., dict[str, Any]]
"""A posed case, then x, gamma, beta and the running statistics by name; to y and the new statistics."""


def _batch_norm(p: Posed, mode: Mapping[str, Any]) -> Any:
    return nnx.BatchNorm(*p.parameter_shape, use_running_average=p.evaluates, momentum=p.momentum, **mode)


def _layer_norm(p: Posed, mode: Mapping[str, Any]) -> Any:
    axes = tuple(range(-len(p.parameter_shape), 0))
    return nnx.LayerNorm(p.parameter_shape[0], reduction_axes=axes, feature_axes=axes, **mode)


def _rms_norm(p: Posed, mode: Mapping[str, Any]) -> Any:
    axes = tuple(range(-len(p.parameter_shape), 0))
    return nnx.RMSNorm(p.parameter_shape[0], reduction_axes=axes, feature_axes=axes, **mode)


MODULES: Mapping[str, Callable[[Posed, Mapping[str, Any]], Any]] = {
    "batch_norm": _batch_norm,
    "batch_norm_running": _batch_norm,
    "batch_norm_eval": _batch_norm,
    "layer_norm": _layer_norm,
    "instance_norm": lambda p, mode: nnx.InstanceNorm(*p.parameter_shape, **mode),
    "group_norm": lambda p, mode: nnx.GroupNorm(p.parameter_shape[0], num_groups=p.groups, **mode),
    "rms_norm": _rms_norm,
}

_OWN_NAMES = {"gamma": "scale", "beta": "bias", "running_mean": "mean", "running_var": "var"}


def _flax(p: Posed, two_pass: bool, x: Any, **given: Any) -> dict[str, Any]:
    mode: dict[str, Any] = {"epsilon": p.eps, "dtype": x.dtype, "rngs": nnx.Rngs(0), "use_scale": "gamma" in given}
    if "beta" in p.primal.parameters:
        mode["use_bias"] = "beta" in given
    if two_pass:
        mode["use_fast_variance"] = False
    module = MODULES[p.primal.name](p, mode)
    for name, value in given.items():
        if name not in p.state:
            setattr(module, _OWN_NAMES[name], nnx.Param(value))
    if hasattr(module, "mean"):  # kept in float32 at least
        wide = jax.numpy.promote_types(x.dtype, jax.numpy.float32)
        module.mean = nnx.BatchStat(given.get("running_mean", module.mean.get_value()).astype(wide))
        module.var = nnx.BatchStat(given.get("running_var", module.var.get_value()).astype(wide))
    y = module(x)
    return {"y": y, **{f"new_{name}": getattr(module, _OWN_NAMES[name]).get_value() for name in p.renewed}}


def answer(way: str, posed: Posed) -> Gradients:
    """What Flax answers when it is asked in one of the ways in which it can be."""
    call = _one_pass if way == "one-pass" else _two_pass
    return posed.answer((jvp if way == "jvp" else vjp)(call, posed))


def _one_pass(p: Posed, x: Any, **given: Any) -> dict[str, Any]:
    return _flax(p, False, x, **given)


def _two_pass(p: Posed, x: Any, **given: Any) -> dict[str, Any]:
    return _flax(p, True, x, **given)


def vjp(call: Call, p: Posed) -> Gradients:
    """y, the new running statistics, and every gradient."""

    def run(primals: Any, state: Any, dy: Any) -> dict[str, Any]:
        def value(primals: Any) -> Any:
            named = call(p, **primals, **state)
            return named["y"], named

        _, pull, named = jax.vjp(value, primals, has_aux=True)
        return {**named, **{f"d{name}": gradient for name, gradient in pull(dy)[0].items()}}

    return _run(run, p.primals, p.state, p.dy)


def jvp(call: Call, p: Posed) -> Gradients:
    """`jax.jvp`, and its backward."""

    def run(primals: Any, tangents: Any, state: Any, dy: Any) -> dict[str, Any]:
        def value(primals: Any, tangents: Any) -> Any:
            directions = {n: tangents.get(n, jax.numpy.zeros_like(primal)) for n, primal in primals.items()}
            return jax.jvp(lambda given: call(p, **given, **state)["y"], (primals,), (directions,))[1]

        y, pull = jax.vjp(value, primals, tangents)
        first, second = pull(dy)
        named = {**first, **{tangent_of(name): gradient for name, gradient in second.items()}}
        return {"y": y, **{f"d{name}": gradient for name, gradient in named.items()}}

    return _run(run, p.primals, p.tangents, p.state, p.dy)


_QUICKLY = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}
"""How XLA compiles what runs once: a quarter of the time, the same operations."""


def _run(function: Callable[..., dict[str, Any]], *arguments: Any) -> Gradients:
    """A function compiled and run on the CPU, in the arguments' own precision, whatever JAX is set to."""
    double = arguments[-1].dtype == np.float64
    with jax.enable_x64(double), jax.default_device(jax.devices("cpu")[0]):
        results = jax.jit(function, compiler_options=_QUICKLY)(*arguments)
        return {name: np.asarray(value) for name, value in results.items()}


_NAMES = {
    "batch_norm": "BatchNorm",
    "batch_norm_running": "BatchNorm",
    "batch_norm_eval": "BatchNorm",
    "layer_norm": "LayerNorm",
    "instance_norm": "InstanceNorm",
    "group_norm": "GroupNorm",
    "rms_norm": "RMSNorm",
}
"""For each layer Flax's module."""


def _suspects() -> Iterator[Suspect]:
    for name, module in _NAMES.items():
        layer = LAYERS[name]
        cubes = () if name == "batch_norm_eval" else (CUBE,)
        if name in ("batch_norm_eval", "rms_norm"):
            yield suspect(FRAMEWORK, answer, f"flax.nnx.{module}", layer, "two-pass", known=cubes)
        else:
            yield suspect(FRAMEWORK, answer, f"flax.nnx.{module}", layer, "one-pass", known=(ONE_PASS, CUBE))
            yield suspect(FRAMEWORK, answer, f"flax.nnx.{module}, two-pass", layer, "two-pass", known=cubes)
        if not layer.settings:  # the step of the running statistics is not differentiated twice
            yield suspect(FRAMEWORK, answer, f"jax.jvp({module}, two-pass)", jvp_of(layer), "jvp", known=cubes)


SUSPECTS = tuple(_suspects())
