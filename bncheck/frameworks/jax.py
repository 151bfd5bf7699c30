"""JAX and Flax's normalization layers as suspects, on the CPU: `jax.vjp`, and `jax.vjp` of `jax.jvp`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx

from bncheck.case import Gradients
from bncheck.frameworks.conventions import Posed
from bncheck.tangents import tangent_of

Call = Callable[..., dict[str, Any]]
"""A posed case, then x, gamma, beta and the running statistics by name; to y and the new statistics."""


def _batch_norm(p: Posed, mode: Mapping[str, Any]) -> Any:
    running = p.layer.startswith("batch_norm_eval")
    return nnx.BatchNorm(*p.parameter_shape, use_running_average=running, momentum=p.momentum, **mode)


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
    if not p.layer.startswith("rms_norm"):
        mode["use_bias"] = "beta" in given
    if two_pass:
        mode["use_fast_variance"] = False
    module = MODULES[p.layer.removesuffix("_jvp")](p, mode)
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
