"""The trials that a search makes: how many there may be, and what shows in one."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np

from bncheck.case import Array
from bncheck.targets.child.binding import Binding
from bncheck.targets.child.families import NumPy, plain
from bncheck.targets.child.slots import size
from bncheck.targets.child.spoken import Spoken, SpokenRun
from bncheck.targets.child.styles import PARAMETERS, Given

MOST = 400
"""How many calls one search may make."""

_DEAR = MappingProxyType({"torch": 150, "jax": 12})
"""The same where a call costs more."""


class Enough(Exception):
    """A search has made all the calls that it may."""


class Trials:
    """One implementation, called on one input by one binding after another.

    `offered` are the parameters that there is a value for, `failure` what was raised first.
    """

    def __init__(self, style: Spoken, family: NumPy, given: Given) -> None:
        self.style, self.family, self.given = style.interpreted, family, given
        self.calls = 0
        self.failure: Exception | None = None
        self.x = np.asarray(given["x"])
        self.offered = [name for name in PARAMETERS if name in given]
        self.wants_gradients = "dy" in given

    def note(self, error: Exception) -> None:
        """Remembers what was raised, if it is the first."""
        self.failure = self.failure or error

    def bound(self, binding: Binding) -> list[str]:
        """The parameters among those offered that a binding has a place for."""
        return [name for name in self.offered if name in binding.bound]

    @property
    def count(self) -> int:
        """How many numbers a parameter has."""
        return max((size(self.given[name]) for name in self.offered), default=0)

    def run(self, binding: Binding, **changed: Any) -> SpokenRun:
        """A fresh instance, spoken to by a binding, with some of what is given changed.

        Raises
            Enough: there were too many.
        """
        self.calls += 1
        if self.calls > min(self.given.get("most", MOST), _DEAR.get(self.family.name, MOST)):
            raise Enough
        given = {**self.given, **changed}
        return self.style.run(self.family, {k: _copied(v) for k, v in given.items()}, binding)

    def y(self, binding: Binding, **changed: Any) -> Array | None:
        """What is answered to some input; None where nothing in the shape of x is."""
        try:
            run = self.run(binding, **changed)
            y = plain(run.forward(run.given["x"]))
        except Enough:
            raise
        except Exception as error:
            self.note(error)
            return None
        return y.copy() if y is not None and y.shape == self.x.shape else None

    def forward_function(self, binding: Binding) -> Callable[..., Any]:
        """The forward that a binding calls, as far as its arguments can be read off it."""
        if self.style.forward is not None:
            return self.style.forward
        owner = self.style.thing if not isinstance(self.style.thing, type) else self.run(binding).object
        function: Callable[..., Any] = getattr(owner, binding.forward)
        return function

    def other_x(self) -> Any:
        """Another input of the same shape, as spread out as the first but not a shift or a multiple of it."""
        moved = np.asarray(self.x) * np.cos(np.arange(self.x.size).reshape(self.x.shape)) + self.x[::-1]
        return moved.astype(self.x.dtype)


def moved_value(value: Any) -> Any:
    """Another value of a parameter, other in each element."""
    array = np.asarray(value)
    return (array + 0.5 + 0.25 * np.cos(np.arange(array.size)).reshape(array.shape)).astype(array.dtype)


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value
