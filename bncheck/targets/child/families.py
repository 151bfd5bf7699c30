"""Whose arrays a function takes: NumPy's, torch's or JAX's, and how each differentiates by itself."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from bncheck.case import Array

Function = Callable[[Any, dict[str, Any]], Any]
"""x and the parameters, as arrays of the family, to y."""

Pull = Callable[[Any], dict[str, Any]]
"""dy to dx and the parameters' gradients, by name."""


class NoGradient(Exception):
    """A framework finds no way back from an output to its inputs."""


class NumPy:
    """Arrays as they are; nothing differentiates them."""

    differentiates = False

    def array(self, value: Array) -> Any:
        """A value as the family's own array."""
        return value

    def precision(self, dtype: np.dtype[Any]) -> contextlib.AbstractContextManager[Any]:
        """Where calls in a dtype take place."""
        return contextlib.nullcontext()

    def vjp(self, function: Function, x: Any, parameters: dict[str, Any]) -> tuple[Any, Pull]:
        """The value of y, and what pulls a dy back through it."""
        raise NotImplementedError


class Torch(NumPy):
    """Tensors on the CPU, and autograd."""

    differentiates = True

    def array(self, value: Array) -> Any:
        import torch

        return torch.from_numpy(np.asarray(value))

    def vjp(self, function: Function, x: Any, parameters: dict[str, Any]) -> tuple[Any, Pull]:
        import torch

        leaves = {name: value.detach().requires_grad_() for name, value in {"x": x, **parameters}.items()}
        y = function(leaves["x"], {name: leaves[name] for name in parameters})

        def pull(dy: Any) -> dict[str, Any]:
            if not y.requires_grad:
                raise NoGradient
            found = torch.autograd.grad(y, list(leaves.values()), dy, allow_unused=True)
            return {f"d{name}": g for name, g in zip(leaves, found, strict=True) if g is not None}

        return y, pull


class Jax(NumPy):
    """JAX arrays and `jax.vjp`; 64-bit arrays are enabled for calls in float64 only, else float32 could not stay so."""

    differentiates = True

    def array(self, value: Array) -> Any:
        import jax

        return jax.numpy.asarray(value)

    def precision(self, dtype: np.dtype[Any]) -> contextlib.AbstractContextManager[Any]:
        import jax

        wide = dtype in (np.float64, np.complex128)
        if hasattr(jax, "enable_x64"):
            return jax.enable_x64(wide)  # type: ignore[no-any-return]
        from jax import experimental

        return experimental.enable_x64(wide)  # type: ignore[no-any-return]

    def vjp(self, function: Function, x: Any, parameters: dict[str, Any]) -> tuple[Any, Pull]:
        import jax

        y, pull = jax.vjp(function, x, parameters)

        def named(dy: Any) -> dict[str, Any]:
            dx, others = pull(dy)
            return {"dx": dx, **{f"d{name}": value for name, value in others.items()}}

        return y, named


FAMILIES: Mapping[str, NumPy] = MappingProxyType({"numpy": NumPy(), "torch": Torch(), "jax": Jax()})


def family_of(value: Any) -> str:
    """Whose array a value is; "" where nobody's."""
    if isinstance(value, np.ndarray | np.generic):
        return "numpy"
    torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
    if torch is not None and isinstance(value, torch.Tensor):
        return "torch"
    return "jax" if jax is not None and isinstance(value, jax.Array) else ""


def plain(value: Any) -> Array | None:
    """A family's array, or a float, as a plain NumPy array; None for anything else, which is not even asked."""
    if type(value) in (float, int):
        return np.array(float(value))
    if not family_of(value):
        return None
    if family_of(value) == "torch":
        value = value.detach().cpu().numpy()
    return np.asarray(value)
