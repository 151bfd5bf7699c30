"""How to call somebody's implementation, style by style: each is begun with what a call hands over, by role.

A run that was begun answers `forward`, `backward` and `running`, on one instance: what it remembers between calls is
its own. Only the child process imports this.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np

from bncheck.case import Array, Case, Layout
from bncheck.targets.child.families import NumPy, Pull
from bncheck.targets.child.roles import arguments, role
from bncheck.targets.child.slots import attributes

Given = dict[str, Any]
PARAMETERS = ("gamma", "beta")


class NoEvaluation(Exception):
    """There is no evaluation mode to be put in."""


class Run:
    """One instance at work. `used` says which roles found a place, `saved` is what forward keeps for backward."""

    def __init__(self, family: NumPy, given: Given) -> None:
        self.family = family
        self.given = {k: family.array(v) if isinstance(v, np.ndarray) else v for k, v in given.items()}
        self.used: set[str] = set()
        self.saved: Any = None

    @property
    def parameters(self) -> Given:
        """γ and β, as far as they were given."""
        return {name: self.given[name] for name in PARAMETERS if name in self.given}

    @property
    def gradient_names(self) -> tuple[str, ...]:
        """The gradients that a backward owes besides dx, in their usual order."""
        return tuple(f"d{name}" for name in self.parameters)

    def differentiated(self, function: Callable[[Any, dict[str, Any]], Any], x: Any) -> Any:
        """Runs a function of x and the parameters so that the family can pull a dy back through it."""
        y, self.saved = self.family.vjp(function, x, self.parameters)
        return y

    def forward(self, x: Any) -> Any:
        """The output, in training mode."""
        raise NotImplementedError

    def backward(self, dy: Any) -> Mapping[str, Any]:
        """The gradients, by name; by default those that the family finds by itself."""
        pull: Pull = self.saved
        return pull(dy)

    def evaluate(self, x: Any) -> Any:
        """The output in evaluation mode, asked for after `forward`; a backward after it is that of this call.

        Raises
            NoEvaluation: there is none. What the target itself raises passes through.
        """
        raise NoEvaluation

    def running(self) -> Mapping[str, Any]:
        """The running statistics it keeps."""
        return {}

    @property
    def momentum(self) -> float | None:
        """The momentum that it was given or keeps."""
        return None


class Style:
    """A way of calling; `words` describe it to a person."""

    words = ""
    family = ""  # whose arrays it takes, where that is known beforehand
    dtypes: tuple[str, ...] = ("float64", "float32", "float16")  # NumPy's own, in which it may be tried
    as_in_case = False  # whether it wants its arrays in the shapes of a case

    @property
    def has_backward(self) -> bool:
        """Whether it can answer gradients in any family."""
        return True

    @property
    def may_have_backward(self) -> bool:
        """Whether one may be found by asking."""
        return True

    def sizes(self) -> Mapping[str, Any]:
        """What its sizes are fixed to: ``features`` a shape, ``groups`` a number."""
        return {}

    def begin(self, family: NumPy, given: Given) -> Run:
        """A fresh instance."""
        raise NotImplementedError


def fixed_sizes(thing: Any) -> dict[str, Any]:
    """The sizes that an instance shows in its attributes or in the shapes of its parameters."""
    found: dict[str, Any] = {}
    for name, value in attributes(thing).items():
        shape = getattr(value, "shape", None)
        if role(name, ("gamma",)) and shape is not None and math.prod(shape) > 1:
            found["features"] = [int(n) for n in shape if n != 1]
        elif (
            len(name) > 1 and role(name, ("size",)) and type(value) in (int, tuple) and value
        ):  # n and d count other things
            found.setdefault("features", [value] if isinstance(value, int) else list(value))
        elif role(name, ("groups",)) and isinstance(value, int):
            found["groups"] = value
    return found


_EVALUATING = ("test", "eval", "inference", "infer", "predict", "val", "valid", "validation", "evaluation", "testing")


@lru_cache(maxsize=1024)
def evaluating(function: Any) -> tuple[str, bool]:
    """The word by which a function, or one that it calls, knows the evaluation mode, and whether it speaks of modes.

    >>> evaluating(lambda x, mode: x if mode != "eval" else 0), evaluating(lambda x: x)
    (('eval', True), ('test', False))
    """
    spoken, seen, left = set[str](), set[int](), [function]
    while left:
        one = left.pop()
        one = getattr(one, "__wrapped__", one)
        code = getattr(one, "__code__", None)
        if code is None or id(code) in seen:
            continue
        seen.add(id(code))
        near = {**getattr(one, "__globals__", {}), **vars(type(getattr(one, "__self__", None)))}
        constants = [*code.co_consts, *(near.get(name) for name in code.co_names)]
        spoken |= {constant for constant in constants if isinstance(constant, str)}
        left += [near[name] for name in code.co_names if name in near]
    word = next((word for word in _EVALUATING if word in spoken), "")
    return word or _EVALUATING[0], bool(word) or "train" in spoken


def set_eps(thing: Any, given: Given) -> set[str]:
    """Gives an instance the eps of the case, where it keeps one and the case has one."""
    if "eps" not in given:
        return set()
    names = [name for name, value in attributes(thing).items() if role(name, ("eps",)) and isinstance(value, float)]
    for name in names:
        setattr(thing, name, given["eps"])
    return {"eps"} if names else set()


def default_of(function: Callable[..., Any], name: str) -> float | None:
    """The default of the argument that plays a role."""
    defaults = [a.default for a in arguments(function) if role(a.name, (name,)) and isinstance(a.default, float)]
    return defaults[0] if defaults else None


def momentum_in(thing: Any) -> float | None:
    """The momentum among an instance's attributes."""
    kept = [v for name, v in attributes(thing).items() if role(name, ("momentum",)) and isinstance(v, float)]
    return kept[0] if kept else None


def running_in(thing: Any) -> dict[str, Any]:
    """The running statistics among an instance's attributes and properties, as they are called."""
    names = ("running_mean", "running_var")
    found = {role(name, names): value for name, value in attributes(thing).items()}
    for name in (
        name for kind in type(thing).__mro__[:-1] for name, v in vars(kind).items() if isinstance(v, property)
    ):
        if (one := role(name, names)) and one not in found:
            with contextlib.suppress(Exception):  # a property may not be ready yet
                found[one] = getattr(thing, name)
    return {name: value for name, value in found.items() if name and value is not None}


class Adapter(Style):
    """Functions in bncheck's own form: `vjp(case)`, and perhaps a `forward(x, parameters, eps)` that spares it."""

    words = "an adapter in bncheck's own form, vjp(case)"
    family = "numpy"
    as_in_case = True

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def begin(self, family: NumPy, given: Given) -> Run:
        return _AdapterRun(self.module, family, given)


class _AdapterRun(Run):
    def __init__(self, module: ModuleType, family: NumPy, given: Given) -> None:
        super().__init__(family, given)
        self.module = module
        self.used = {*self.parameters, "eps"}

    def _vjp(self, x: Array, dy: Array) -> Mapping[str, Any]:
        layout = Layout.parse(self.given["layout"])
        answer = self.module.vjp(Case(layout, x, dy, self.parameters, self.given["eps"]))
        return answer if isinstance(answer, dict) else {}

    def forward(self, x: Any) -> Any:
        self.saved = x
        forward = getattr(self.module, "forward", None)
        if forward is not None and forward.__module__ == self.module.__name__:  # not one that it imports
            return forward(x, self.parameters, self.given["eps"])
        return self._vjp(x, np.zeros_like(x)).get("y")

    def backward(self, dy: Any) -> Mapping[str, Any]:
        return {name: value for name, value in self._vjp(self.saved, dy).items() if name != "y"}
