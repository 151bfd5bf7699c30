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

    name = "numpy"
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

    def twice(
        self, function: Function, x: Any, parameters: dict[str, Any], dy: Any, along: Mapping[str, Any]
    ) -> tuple[dict[str, Any], bool]:
        """The gradients of ⟨dx, v⟩ + ⟨dγ, w⟩ + …, where v, w are `along`; and whether somebody wrote them.

        What autograd finds by itself is written by nobody; what a backward of its own has is.

        Raises
            NoGradient: the gradients have none with respect to x.
        """
        raise NoGradient


class Torch(NumPy):
    """Tensors on the CPU, and autograd."""

    name = "torch"
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
            found = torch.autograd.grad(y, list(leaves.values()), dy.to(y.dtype), allow_unused=True)
            return {f"d{name}": g for name, g in zip(leaves, found, strict=True) if g is not None}

        return y, pull

    def twice(
        self, function: Function, x: Any, parameters: dict[str, Any], dy: Any, along: Mapping[str, Any]
    ) -> tuple[dict[str, Any], bool]:
        import torch

        leaves = {name: value.detach().requires_grad_() for name, value in {"x": x, **parameters, "dy": dy}.items()}
        y = function(leaves["x"], {name: leaves[name] for name in parameters})
        own = _nodes(y)
        asked = [name for name in leaves if name != "dy"]
        first = torch.autograd.grad(y, [leaves[n] for n in asked], leaves["dy"], create_graph=True, allow_unused=True)
        found = [(g, along[name]) for name, g in zip(asked, first, strict=True) if g is not None and g.requires_grad]
        if first[0] is None or not first[0].requires_grad:
            raise NoGradient
        total = sum((g * direction).sum() for g, direction in found)
        second = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
        named = dict(zip(leaves, second, strict=True))
        if named["x"] is None:
            raise NoGradient
        written = any(kind.endswith("*") for kind in _nodes(first[0]) - own)
        return {name: value for name, value in named.items() if value is not None}, written


def _nodes(y: Any) -> set[str]:
    """The kinds of the nodes of a graph, those of somebody's own functions with a star."""
    import torch

    left, seen, kinds = [y.grad_fn], set[Any](), set[str]()
    while left:
        node = left.pop()
        if node is not None and node not in seen:
            seen.add(node)
            kinds.add(f"{node.name()}{'*' if isinstance(node, torch.autograd.function.BackwardCFunction) else ''}")
            left += [following for following, _ in node.next_functions]
    return kinds


class Jax(NumPy):
    """JAX arrays and `jax.vjp`; 64-bit arrays are enabled for calls in float64 only, else float32 could not stay so."""

    name = "jax"
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
            dx, others = pull(dy.astype(y.dtype))
            return {"dx": dx, **{f"d{name}": value for name, value in others.items()}}

        return y, named


class Lists(NumPy):
    """Lists of numbers, for code without any library."""

    name = "lists"

    def array(self, value: Array) -> Any:
        return value.tolist()


class Tensors(NumPy):
    """Somebody's own tensors, of one class, which know their way back: y.backward(dy), and x has it then."""

    name = "tensors"

    def __init__(self, kind: type) -> None:
        self.kind = kind

    @staticmethod
    def fits(kind: type) -> bool:
        """Whether a class wraps an array and has a backward."""
        if callable(getattr(kind, "forward", None)):
            return False
        try:
            made = kind(np.ones(2))
            knows = callable(getattr(made, "backward", None)) or hasattr(made, "grad")
            return knows and np.array_equal(plain(made), np.ones(2))  # type: ignore[arg-type]
        except Exception:  # whatever it is, arrays are not what it takes
            return False

    def array(self, value: Array) -> Any:
        try:
            return self.kind(np.array(value), requires_grad=True)
        except TypeError:
            return self.kind(np.array(value))

    def pull(self, y: Any, dy: Any) -> Any:
        """Has y send dy back, in whichever form it takes one."""
        ways: list[Callable[[], Any]] = [
            lambda: y.backward(dy),
            lambda: y.backward(inner(dy)),
            lambda: (y * dy).sum().backward(),
        ]
        for k, way in enumerate(ways):
            try:
                return way()
            except Exception:
                if k == len(ways) - 1:
                    raise
        raise NoGradient


FAMILIES: Mapping[str, NumPy] = MappingProxyType({"numpy": NumPy(), "torch": Torch(), "jax": Jax(), "lists": Lists()})


def family_of(value: Any) -> str:
    """Whose array a value is; "" where nobody's."""
    if isinstance(value, np.ndarray | np.generic):
        return "numpy"
    torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
    if torch is not None and isinstance(value, torch.Tensor):
        return "torch"
    return "jax" if jax is not None and isinstance(value, jax.Array) else ""


def inner(thing: Any) -> Any:
    """The one array of floats that an object of somebody's own wraps, whatever the attribute is called, else None.

    What is called after a gradient is none: a tensor holds its own beside its value.
    """
    if isinstance(thing, type | dict | list | tuple | str) or thing is None:
        return None
    arrays = [value for name, value in held_by(thing).items() if family_of(value) and "grad" not in name.lower()]
    return arrays[0] if len(arrays) == 1 else None


def held_by(thing: Any) -> dict[str, Any]:
    """What an object itself holds by name, in its dictionary and in slots."""
    held = dict(getattr(thing, "__dict__", {}))
    for kind in type(thing).__mro__:
        names = kind.__dict__.get("__slots__", ())
        held |= {n: getattr(thing, n) for n in ([names] if isinstance(names, str) else names) if hasattr(thing, n)}
    return held


def is_list_of_numbers(value: Any) -> bool:
    """Whether a value is a list of numbers, or of such lists."""
    if not isinstance(value, list) or not value:
        return False
    if all(type(one) in (float, int) for one in value):
        return True
    return all(map(is_list_of_numbers, value)) and len({np.shape(one) for one in value}) == 1


def plain(value: Any) -> Array | None:
    """A family's array, what wraps one, or a float, as a plain NumPy array; None for anything else."""
    if type(value) in (float, int):
        return np.array(float(value))
    if is_list_of_numbers(value):
        return np.array(value, dtype=np.float64)
    if not family_of(value):
        value = inner(value)
    if value is None:
        return None
    if family_of(value) == "torch":
        value = value.detach().cpu().numpy()
    return np.asarray(value)


_CLOSE = 1e-3


def alike(first: Array, second: Array) -> bool:
    """Whether two arrays are the same but for rounding."""
    if first.shape != second.shape:
        return False
    with np.errstate(all="ignore"):
        scale = float(np.abs(second).max(initial=0.0))
        return bool(np.allclose(first, second, rtol=_CLOSE, atol=_CLOSE * scale, equal_nan=True))
