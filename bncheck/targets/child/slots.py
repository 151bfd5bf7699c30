"""Where numbers are kept: paths to the arrays within an object or an answer, whatever anything is called."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np

from bncheck.targets.child.families import family_of, held_by, inner, is_list_of_numbers

Step = tuple[str, Any]
"""("attr", name), ("item", key or place), ("cell", name) that a function closes over, or ("part", k) of an array that
holds two parameters."""

Path = tuple[Step, ...]

_DEEPEST = 6
_MOST = 600
_FOREIGN = frozenset({"numpy", "torch", "jax", "jaxlib", "builtins", "random", "threading", "numba", "matplotlib"})


def arrays_in(thing: Any) -> dict[Path, Any]:
    """Every array of floats that can be reached from a thing, in its own order, with the path to it.

    >>> import numpy as np
    >>> list(arrays_in({"w": np.ones(2), "more": [np.zeros(1), "no"]}))
    [(('item', 'w'),), (('item', 'more'), ('item', 0))]
    """
    found: dict[Path, Any] = {}
    seen: set[int] = set()
    left: list[tuple[Path, Any]] = [((), thing)]
    while left and len(seen) < _MOST:
        path, one = left.pop()
        if family_of(one):
            if _is_float(one) and not awaits_its_size(one):
                found[path] = one
                grad = getattr(one, "grad", None) if family_of(one) == "torch" else None
                if grad is not None:
                    found[*path, ("attr", "grad")] = grad
            continue
        if is_list_of_numbers(one):
            found[path] = np.array(one, dtype=np.float64)
            continue
        if id(one) in seen or len(path) >= _DEEPEST:
            continue
        seen.add(id(one))
        left += [((*path, step), value) for step, value in reversed(list(_within(one)))]
    return found


def _within(thing: Any) -> Iterator[tuple[Step, Any]]:
    """What a container or an object holds."""
    if isinstance(thing, Mapping):
        yield from ((("item", key), value) for key, value in list(thing.items())[:64] if isinstance(key, str | int))
    elif isinstance(thing, list | tuple):
        yield from ((("item", k), value) for k, value in islice(enumerate(thing), 64))
    elif inspect.isfunction(thing):
        yield from ((("cell", name), value) for name, value in closed_over(thing).items())
    elif hasattr(thing, "_parameters") or (
        not isinstance(thing, type) and type(thing).__module__.partition(".")[0] not in _FOREIGN
    ):
        yield from ((("attr", name), value) for name, value in attributes(thing).items())


def attributes(thing: Any) -> dict[str, Any]:
    """What an object holds by name: its own, its class's arrays, and those of a torch module."""
    own = held_by(thing)
    for kind in type(thing).__mro__:
        own |= {n: v for n, v in vars(kind).items() if family_of(v) and n not in own}
    held = {**own, **(own.get("_parameters") or {}), **(own.get("_buffers") or {})}
    return {name: value for name, value in held.items() if not awaits_its_size(value)}


def closed_over(function: Any) -> dict[str, Any]:
    """What a function, or a method, closes over, by name."""
    plain = getattr(function, "__func__", function)
    code, cells = getattr(plain, "__code__", None), getattr(plain, "__closure__", None) or ()
    held: dict[str, Any] = {}
    for name, cell in zip(code.co_freevars, cells, strict=True) if code else ():
        with contextlib.suppress(ValueError):  # an empty one
            held[name] = cell.cell_contents
    return held


def awaits_its_size(value: Any) -> bool:
    """Whether a value is a torch parameter that is made on the first forward."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.parameter.UninitializedTensorMixin)


def _is_float(value: Any) -> bool:
    kind = getattr(value.dtype, "kind", "")
    return kind == "f" or (not kind and bool(getattr(value, "is_floating_point", bool)()))


def at(thing: Any, path: Path) -> Any:
    """What a path leads to.

    Raises
        LookupError, AttributeError: it leads nowhere.
    """
    for kind, key in path:
        if kind == "attr":
            thing = getattr(thing, key)
        elif kind == "item":
            thing = thing[key]
        elif kind == "cell":
            thing = closed_over(thing)[key]
        else:
            thing = _part(thing, key)
    return thing


def put(thing: Any, path: Path, value: Any) -> None:
    """Sets what a path leads to; a part of an array in a copy of the whole."""
    (kind, key), holder = path[-1], path[:-1]
    if kind == "part":
        whole = at(thing, holder).copy()
        part = _part(whole, key)
        part[...] = value.reshape(part.shape)
        put(thing, holder, whole)
    elif kind == "attr":
        setattr(at(thing, holder), key, value)
    elif kind == "cell":
        function = at(thing, holder)
        function.__closure__[function.__code__.co_freevars.index(key)].cell_contents = value
    else:
        at(thing, holder)[key] = value


def parts(array: Any) -> list[Step]:
    """How an array may hold two parameters side by side."""
    return [("part", 0), ("part", 1)] if family_of(array) == "numpy" and np.size(array) % 2 == 0 else []


def _part(array: Any, k: int) -> Any:
    if array.shape[0] == 2 and array.ndim > 1:
        return array[k]
    if array.shape[-1] == 2 and array.ndim > 1:
        return array[..., k]
    half = array.shape[0] // 2
    return array[k * half : (k + 1) * half]


def size(value: Any) -> int:
    """How many numbers an array, or a list, holds."""
    return int(np.prod(shape(value), dtype=int))


def shape(value: Any) -> tuple[int, ...]:
    """The shape of an array, or of a list."""
    return tuple(value.shape) if hasattr(value, "shape") else np.shape(value)


def unwrapped(thing: Any) -> Any:
    """An array or a list itself, or the array that an object of somebody's own wraps; None where there is none."""
    return thing if family_of(thing) or is_list_of_numbers(thing) else inner(thing)


def written(path: Path) -> str:
    """A path in words, as it would be written in Python.

    >>> written((("attr", "params"), ("item", "w"), ("part", 1)))
    ".params['w'][half 2]"
    """
    shown = {"attr": lambda k: f".{k}", "item": lambda k: f"[{k!r}]", "part": lambda k: f"[half {k + 1}]"}
    shown["cell"] = lambda k: f" ({k} in its closure)"
    return "".join(shown[kind](key) for kind, key in path)
