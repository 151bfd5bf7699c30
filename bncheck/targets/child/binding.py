"""How one implementation is spoken to: what its arguments are given, where its parameters and answers are.

A binding is plain data, so that whoever asks can keep it and hand it back. What it leaves empty goes by names.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from bncheck.targets.child.slots import Path, written

Place = tuple[str, Path]
"""Whose, and where in it: ``answer`` of the last call, ``self``, an argument by its role, or ``step gamma`` for what a
backward subtracts from a parameter itself."""

TOGETHER = ("both", "packed", "rows", "columns")
"""Ways to hand over γ and β as one argument: a tuple, one after the other, or side by side."""

Roles = Mapping[str, str]
"""Arguments, by name, to the roles they play."""


@dataclass(frozen=True)
class Binding:
    """The way to speak to one implementation.

    `build`, `takes` and `wants` are what the constructor, the forward and the backward are given; `prepared` are
    methods that are called before the first forward, such as ``initialize(optimizer)``; `keys` the roles of dictionary
    keys; `slots` where an instance keeps its parameters, which it makes on first use where `warm`; `switch` the flag
    that is set in training, as (kind, name, value); `steps` says that its backward moves the parameters, by a learning
    rate of its own; `gradients` where they are after a backward, `state` where running statistics are kept. `left_over`
    names what was seen and not understood, `unknown` what y was seen to follow and is none of these.
    """

    build: Roles | None = None
    prepared: tuple[tuple[str, Roles], ...] = ()
    forward: str = ""
    takes: Roles = field(default_factory=dict)
    keys: Roles = field(default_factory=dict)
    y: Place = ("answer", ())
    slots: Mapping[str, Path] = field(default_factory=dict)
    warm: bool = False
    switch: tuple[str, str, bool] | None = None
    backward: str = ""
    wants: Roles | None = None
    steps: bool = False
    gradients: Mapping[str, Place] = field(default_factory=dict)
    state: Mapping[str, Path] = field(default_factory=dict)
    left_over: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def only(self, parameters: Collection[str]) -> Binding:
        """The same for some of the parameters."""
        gradients = {"dx", *(f"d{name}" for name in parameters)}
        return replace(
            self,
            slots={name: path for name, path in self.slots.items() if name in parameters},
            gradients={name: place for name, place in self.gradients.items() if name in gradients},
        )

    @property
    def bound(self) -> set[str]:
        """The parameters that are handed over or put into place."""
        roles = {*(self.build or {}).values(), *self.takes.values(), *self.keys.values(), *self.slots}
        return {"gamma", "beta"} if roles & {*TOGETHER, "parameters"} else roles & {"gamma", "beta"}

    def data(self) -> dict[str, Any]:
        """What JSON can hold."""
        return asdict(self)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Binding:
        """The binding that `data` wrote, perhaps by way of JSON.

        >>> Binding.of(Binding(slots={"gamma": (("attr", "w"),)}).data()).slots
        {'gamma': (('attr', 'w'),)}
        """
        parts = dict(data)
        parts["y"] = _place(parts["y"])
        parts["slots"] = {name: _path(path) for name, path in parts["slots"].items()}
        parts["gradients"] = {name: _place(place) for name, place in parts["gradients"].items()}
        parts["state"] = {name: _path(path) for name, path in parts["state"].items()}
        parts["switch"] = None if parts["switch"] is None else tuple(parts["switch"])
        parts["prepared"] = tuple((name, dict(roles)) for name, roles in parts["prepared"])
        parts |= {name: tuple(parts[name]) for name in ("left_over", "unknown")}
        return cls(**parts)

    def described(self, answered: tuple[str, ...]) -> dict[str, str]:
        """In words, where each parameter and each gradient was found that is called otherwise or nothing at all.

        >>> Binding(slots={"gamma": (("attr", "w"),)}, gradients={"dx": ("answer", ())}).described(("dx",))
        {'gamma': 'self.w', 'dx': 'what backward returns'}
        """
        told = {one: argument for argument, one in {**(self.build or {}), **self.takes}.items()}
        told |= {one: f"[{key!r}]" for key, one in self.keys.items()}
        told |= {name: f"self{written(path)}" for name, path in {**self.slots, **self.state}.items()}
        places = {name: _told(place) for name, place in self.gradients.items() if name in answered}
        return {name: where for name, where in told.items() if name in _TOLD} | places


_TOLD = ("gamma", "beta", "running_mean", "running_var")


def _path(data: Any) -> Path:
    return tuple((str(kind), key) for kind, key in data)


def _place(data: Any) -> Place:
    return str(data[0]), _path(data[1])


def _told(place: Place) -> str:
    where, path = place
    if where == "answer":
        return f"what backward returns{f', at {written(path)}' if path else ''}"
    if where.startswith("step "):
        return f"the step that backward makes in self{written(path)}"
    if where.startswith("room "):
        return "an array that backward is handed"
    return f"{where}{written(path)}"
