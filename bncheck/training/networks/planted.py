"""A normalization with a bug of the catalogue in it, as a part of a network: what trains on a wrong gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from bncheck.bugs.catalogue.bug import Bug
from bncheck.bugs.programs import Program, ran_backward, ran_forward
from bncheck.bugs.roles import derived
from bncheck.layers import Layer
from bncheck.training.networks.network import Network
from bncheck.training.networks.normalization import Normalization


class Planted(Normalization):
    """Takes the place of a right normalization, whose parameters and running statistics it has.

    The bug is planted in every mode that has room for it, as somebody who makes the mistake makes it. Without room in
    training, that mode is left right.
    """

    def __init__(self, right: Normalization, bug: Bug) -> None:
        vars(self).update(vars(right))
        self.effect = bug.effect
        self.programs = {mode: self._program(bug, known.layer) for mode, known in self.modes.items()}

    def _program(self, bug: Bug, layer: Layer) -> Program | None:
        """The program with the bug; of an effect, which is no edit, the right one; none where there is no room."""
        parameters = tuple(self.parameters)
        edits = bug.edits(layer, self.layout, parameters)
        if not edits and bug.effect:
            return derived(layer, self.layout, parameters).closed
        return edits[0].program if edits else None

    def forward(self, x: Any, training: bool) -> Any:
        """The program's forward steps."""
        program = self.program = self.programs[training]
        if program is None:
            return super().forward(x, training)
        self.shape, self.mode = x.shape, self.modes[training]
        x = x.reshape(x.shape[0], *self.features)
        values, saved = ran_forward(program, x, {**self.parameters, **self.state, **self.mode.settings}, self.eps)
        self.known = dict(saved)
        if training:
            for name in self.state:
                self.state[name] = values[f"new_{name}"]
        if self.effect == "input":
            np.subtract(x, 1, out=x)
        return values["y"].reshape(*self.shape)

    def backward(self, dy: Any) -> Any:
        """The program's backward steps.

        Raises
            ValueError: the gradient of a parameter has a shape that the parameter cannot take.
        """
        if self.program is None:
            return super().backward(dy)
        found = ran_backward(self.program, self.known, dy.reshape(dy.shape[0], *self.features))
        for name, parameter in self.parameters.items():
            found[f"d{name}"] = np.broadcast_to(found[f"d{name}"], parameter.shape)
        found["dx"] = np.broadcast_to(found["dx"], (self.shape[0], *self.features))
        return self.answered(self._affected(found))

    def _affected(self, found: dict[str, Any]) -> dict[str, Any]:
        """What an effect does to the gradients, or to what is not the caller's to change."""
        if self.effect == "state":
            self.state = {name: 0.9 * value for name, value in self.state.items()}
        elif self.effect == "dtype":
            other = np.float32 if found["dx"].dtype == np.float64 else np.float64
            found = {name: value.astype(other) for name, value in found.items()}
        elif self.effect == "element":
            moved = np.array(found["dx"])
            moved.flat[0] += 1e-5 * np.abs(moved).max()
            found = {**found, "dx": moved}
        return found


def planted(network: Network, bug: Bug) -> Network:
    """The network with the bug in each of its normalizations; it takes over the parameters."""
    return Network([Planted(m, bug) if isinstance(m, Normalization) else m for m in network.modules])
