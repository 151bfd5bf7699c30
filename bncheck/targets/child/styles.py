"""How to call somebody's implementation, style by style: each is begun with what a call hands over, by role.

A run that was begun answers `forward`, `backward` and `running`, on one instance: what it remembers between calls is
its own. Only the child process imports this.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from bncheck.case import Array, Case, Layout
from bncheck.targets.child.families import NumPy, Pull
from bncheck.targets.child.roles import (
    BACKWARD,
    FORWARD,
    PARAMETER_CONTAINERS,
    arguments,
    call,
    gradients_in,
    gradients_left,
    role,
    roles_of,
)

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

    def sizes(self) -> Mapping[str, Any]:
        """What its sizes are fixed to: ``features`` a shape, ``groups`` a number."""
        return {}

    def begin(self, family: NumPy, given: Given) -> Run:
        """A fresh instance."""
        raise NotImplementedError


class Functions(Style):
    """A forward function and, perhaps, a backward function; torch and JAX differentiate a forward alone."""

    def __init__(self, forward: Callable[..., Any], backward: Callable[..., Any] | None, words: str) -> None:
        self.call_forward, self.call_backward, self.words = forward, backward, words

    @property
    def has_backward(self) -> bool:
        return self.call_backward is not None

    def begin(self, family: NumPy, given: Given) -> Run:
        return _FunctionsRun(self, family, given)


class _FunctionsRun(Run):
    def __init__(self, style: Functions, family: NumPy, given: Given) -> None:
        super().__init__(family, given)
        self.style = style
        self.given |= {"training": True, "mode": "train"}
        self.given["options"] = {"mode": "train", **{k: given[k] for k in ("eps", "momentum") if k in given}}
        asked = set(roles_of(style.call_forward, FORWARD, "x").values())
        for name, start in (("running_mean", np.zeros), ("running_var", np.ones)):
            if name in asked:
                self.given[name] = family.array(start(given["gamma"].shape, given["x"].dtype))

    def forward(self, x: Any) -> Any:
        self.given["x"] = x
        if self.style.call_backward is None and self.family.differentiates:
            return self.differentiated(lambda x, named: self._split({"x": x, **named})[0], x)
        y, self.saved = self._split({"x": x})
        return y

    def _split(self, changed: Given) -> tuple[Any, tuple[Any, ...]]:
        answer, used = call(self.style.call_forward, {**self.given, **changed}, FORWARD, "x")
        self.used |= used | ({"eps", "momentum"} if "options" in used else set())
        if isinstance(answer, dict):
            y = next((answer[k] for k in ("y", "out", "output", "Y") if k in answer), None)
            return y, (answer,)
        return (answer[0], tuple(answer[1:])) if isinstance(answer, tuple) else (answer, ())

    def backward(self, dy: Any) -> Mapping[str, Any]:
        if self.style.call_backward is None:
            return super().backward(dy)
        rest = self.saved
        kept = rest[0] if len(rest) == 1 or (rest and isinstance(rest[0], tuple | list | dict)) else rest
        given = {**self.given, "dy": dy, "cache": kept}
        unnamed = kept if isinstance(kept, tuple) else rest
        answer, _ = call(self.style.call_backward, given, BACKWARD, "dy", unnamed)
        return gradients_in(answer, self.gradient_names)

    def evaluate(self, x: Any) -> Any:
        if not self.used & {"training", "mode", "options"}:
            raise NoEvaluation
        word, spoken = evaluating(self.style.call_forward)
        self.given["options"]["mode"] = word
        self.given |= {"training": False, "mode": word}
        try:
            return self.forward(x)
        except Exception:
            if spoken or "training" in self.used:
                raise
            raise NoEvaluation from None  # what it raised may be about a word that it does not know

    @property
    def momentum(self) -> float | None:
        default = default_of(self.style.call_forward, "momentum")
        return self.given.get("momentum", default) if "momentum" in self.used else default

    def running(self) -> Mapping[str, Any]:
        found = {role(k, ("running_mean", "running_var")): v for k, v in self.given["options"].items()}
        return {k: v for k, v in {**self.given, **found}.items() if k in ("running_mean", "running_var")}


_FORWARDS = ("forward", "__call__", "call", "fprop", "forward_pass", "forward_prop", "apply")
_BACKWARDS = ("backward", "bprop", "backward_pass", "backprop", "backward_prop", "grad", "vjp")


def method(thing: Any, names: tuple[str, ...]) -> Any:
    """The first of some methods that a class or an instance has; None without any."""
    return next((found for name in names if callable(found := getattr(thing, name, None))), None)


class Objects(Style):
    """A class, or an instance of one, with a forward and a backward method."""

    def __init__(self, thing: Any, words: str) -> None:
        self.thing, self.words = thing, words

    @staticmethod
    def fits(kind: type) -> bool:
        """Whether a class has the methods."""
        named = {name for base in kind.__mro__ for name in vars(base)}
        return not named.isdisjoint(_BACKWARDS) and not named.isdisjoint(_FORWARDS)

    def sizes(self) -> Mapping[str, Any]:
        return {} if isinstance(self.thing, type) else fixed_sizes(self.thing)

    def begin(self, family: NumPy, given: Given) -> Run:
        return _ObjectsRun(self.thing, family, given)


def fixed_sizes(thing: Any) -> dict[str, Any]:
    """The sizes that an instance shows in its attributes or in the shapes of its parameters."""
    found: dict[str, Any] = {}
    for name, value in _attributes(thing).items():
        shape = getattr(value, "shape", None)
        if role(name, ("gamma",)) and shape is not None and math.prod(shape) > 1:
            found["features"] = [int(n) for n in shape if n != 1]
        elif len(name) > 1 and role(name, ("size",)) and type(value) in (int, tuple):  # n and d count other things
            found.setdefault("features", [value] if isinstance(value, int) else list(value))
        elif role(name, ("groups",)) and isinstance(value, int):
            found["groups"] = value
    return found


def _attributes(thing: Any) -> dict[str, Any]:
    """Instance attributes, those of torch modules included."""
    own = dict(vars(thing))
    return {**own, **(own.get("_parameters") or {}), **(own.get("_buffers") or {})}


def made(thing: Any, given: Given) -> tuple[Any, set[str]]:
    """A fresh instance: built by role from a class, or copied; and the roles that its constructor took."""
    if not isinstance(thing, type):
        return copy.deepcopy(thing), set()
    shape = tuple(given["features"])
    roles = FORWARD[1:]  # no x: ``features`` are counted here
    unnamed = [a for a in arguments(thing)[:1] if not role(a.name, roles)]  # such as layer_dim, or hidden
    wanted = {**given, "size": shape[0] if len(shape) == 1 else shape}
    built, used = call(thing, wanted, roles, "size" if unnamed else "")
    return built, used


_EVALUATING = ("test", "eval", "inference", "infer", "predict", "val", "valid", "validation", "evaluation", "testing")


def evaluating(function: Any) -> tuple[str, bool]:
    """The word by which a function, or one that it calls, knows the evaluation mode, and whether it speaks of modes.

    >>> evaluating(lambda x, mode: x if mode != "eval" else 0), evaluating(lambda x: x)
    (('eval', True), ('test', False))
    """
    spoken, seen, left = set[str](), set[int](), [function]
    while left:
        one = left.pop()
        code = getattr(one, "__code__", None)
        if code is None or id(code) in seen:
            continue
        seen.add(id(code))
        spoken |= {constant for constant in code.co_consts if isinstance(constant, str)}
        near = {**one.__globals__, **vars(type(getattr(one, "__self__", None)))}
        left += [near[name] for name in code.co_names if name in near]
    word = next((word for word in _EVALUATING if word in spoken), "")
    return word or _EVALUATING[0], bool(word) or "train" in spoken


def set_eps(thing: Any, given: Given) -> set[str]:
    """Gives an instance the eps of the case, where it keeps one and the case has one."""
    if "eps" not in given:
        return set()
    names = [name for name, value in vars(thing).items() if role(name, ("eps",)) and isinstance(value, float)]
    for name in names:
        setattr(thing, name, given["eps"])
    return {"eps"} if names else set()


class _ObjectsRun(Run):
    def __init__(self, thing: Any, family: NumPy, given: Given) -> None:
        super().__init__(family, given)
        self.thing, self.used = made(thing, {**self.given, "training": True, "mode": "train"})
        if "eps" not in self.used:
            self.used |= set_eps(self.thing, given)
        self._switch(training=True)
        self.call_forward = method(self.thing, _FORWARDS)
        self.asked: set[str] = set()  # what the latest forward took
        if self._unplaced and not set(roles_of(self.call_forward, FORWARD, "x").values()) & set(PARAMETERS):
            self._place()
            if self._unplaced:  # some make their parameters when they first see an input
                self._forward(self.given["x"], training=True)
                self._place()

    @property
    def _unplaced(self) -> set[str]:
        return set(self.parameters) - self.used

    def _place(self) -> None:
        kept = vars(self.thing)
        holders = [kept, *(v for k, v in kept.items() if k in PARAMETER_CONTAINERS and isinstance(v, dict))]
        for holder in holders:
            for name, value in holder.items():
                one = role(name, tuple(self._unplaced))
                if one and not isinstance(value, int | str):
                    holder[name] = self._like(self.given[one], value)
                    self.used.add(one)

    def _like(self, given: Any, value: Any) -> Any:
        """A parameter as the object holds its own: in that shape, and within what wraps it."""
        for inner in ("data", "value"):
            if not hasattr(value, "shape") and isinstance(getattr(value, inner, None), np.ndarray):
                wrapped = copy.copy(value)
                setattr(wrapped, inner, self._like(given, getattr(value, inner)))
                return wrapped
        same_size = hasattr(value, "shape") and math.prod(value.shape) == math.prod(given.shape)
        return given.reshape(tuple(value.shape)) if same_size else given

    def _switch(self, *, training: bool) -> bool:
        """Puts the object in a mode by its own means, if it has any."""
        switch = getattr(self.thing, "train" if training else "eval", None)
        if callable(switch) and not any(a.default is a.empty for a in arguments(switch)):
            switch()
            return True
        for name, value in vars(self.thing).items():
            if role(name, ("training",)) and isinstance(value, bool):
                setattr(self.thing, name, training)
                return True
            if role(name, ("mode",)) and isinstance(value, str):
                setattr(self.thing, name, "train" if training else self._word)
                return True
        return False

    @property
    def _word(self) -> str:
        return evaluating(method(self.thing, _FORWARDS))[0]

    def _forward(self, x: Any, *, training: bool) -> Any:
        switched = {"x": x, "training": training, "mode": "train" if training else self._word}
        answer, self.asked = call(self.call_forward, {**self.given, **switched}, FORWARD, "x")
        self.used |= self.asked
        y, *self.saved = answer if isinstance(answer, tuple) else (answer,)
        return y

    def forward(self, x: Any) -> Any:
        return self._forward(x, training=True)

    def backward(self, dy: Any) -> Mapping[str, Any]:
        backward = method(self.thing, _BACKWARDS)
        given = {**self.given, "dy": dy, "cache": self.saved[0] if len(self.saved) == 1 else tuple(self.saved)}
        answer, _ = call(backward, given, BACKWARD, "dy")
        return {**gradients_left(self.thing, self.gradient_names), **gradients_in(answer, self.gradient_names)}

    def evaluate(self, x: Any) -> Any:
        if not self._switch(training=False) and not self.asked & {"training", "mode"}:
            raise NoEvaluation
        return self._forward(x, training=False)

    def running(self) -> Mapping[str, Any]:
        return running_in(self.thing)

    @property
    def momentum(self) -> float | None:
        return momentum_in(self.thing)


def default_of(function: Callable[..., Any], name: str) -> float | None:
    """The default of the argument that plays a role."""
    defaults = [a.default for a in arguments(function) if role(a.name, (name,)) and isinstance(a.default, float)]
    return defaults[0] if defaults else None


def momentum_in(thing: Any) -> float | None:
    """The momentum among an instance's attributes."""
    kept = [v for name, v in _attributes(thing).items() if role(name, ("momentum",)) and isinstance(v, float)]
    return kept[0] if kept else None


def running_in(thing: Any) -> dict[str, Any]:
    """The running statistics among an instance's attributes."""
    found = {role(name, ("running_mean", "running_var")): value for name, value in _attributes(thing).items()}
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
