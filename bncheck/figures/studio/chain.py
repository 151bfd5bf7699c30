"""Two neurons in a row, each a weight, a bias and a sigmoid, and behind them a cost: the smallest chain with a rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, prod

import numpy as np


@dataclass(frozen=True)
class Chain:
    """The numbers of one forward and one backward pass.

    `values` and `gradients` are by node; `factors` are the local derivatives, by (from, to).

    >>> chain = Chain.of(0)
    >>> chain.gradients["w1"] == prod(chain.factors[step] for step in chain.way("w1"))
    True
    """

    values: Mapping[str, float]
    gradients: Mapping[str, float]
    factors: Mapping[tuple[str, str], float]

    @classmethod
    def of(cls, seed: int) -> Chain:
        """Weights, biases and input in tenths, drawn from a seed."""
        rng = np.random.default_rng(seed)
        return cls.at(*(float(v) for v in rng.choice(np.arange(2, 16), 5, replace=False) / 10))

    @classmethod
    def at(cls, x: float, w1: float, b1: float, w2: float, b2: float) -> Chain:
        """Weights, biases and input as they are given; the answer that is wanted is 0."""
        values = {"x": x, "w1": w1, "b1": b1, "w2": w2, "b2": b2}
        values["z1"] = w1 * x + b1
        values["a1"] = _sigmoid(values["z1"])
        values["z2"] = w2 * values["a1"] + b2
        values["a2"] = _sigmoid(values["z2"])
        values["C"] = values["a2"] ** 2
        factors = {
            ("w1", "z1"): x,
            ("b1", "z1"): 1.0,
            ("x", "z1"): w1,
            ("z1", "a1"): values["a1"] * (1 - values["a1"]),
            ("a1", "z2"): w2,
            ("w2", "z2"): values["a1"],
            ("b2", "z2"): 1.0,
            ("z2", "a2"): values["a2"] * (1 - values["a2"]),
            ("a2", "C"): 2 * values["a2"],
        }
        unfinished = cls(values, {}, factors)
        gradients = {name: prod(factors[step] for step in unfinished.way(name)) for name in values}
        return cls(values, gradients, factors)

    def way(self, name: str) -> list[tuple[str, str]]:
        """The edges from a node to the cost, the cost's first, in which order they are multiplied."""
        steps = []
        while name != "C":
            step = next(step for step in self.factors if step[0] == name)
            steps.append(step)
            name = step[1]
        return steps[::-1]


def _sigmoid(z: float) -> float:
    return 1 / (1 + exp(-z))
