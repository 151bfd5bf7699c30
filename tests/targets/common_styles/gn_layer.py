from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class GroupNorm:
    """Group Normalization (Wu & He 2018), channels first."""

    num_groups: int
    num_channels: int
    eps: float = 1e-5
    weight: np.ndarray = field(init=False)
    bias: np.ndarray = field(init=False)
    d_weight: np.ndarray | None = field(init=False, default=None)
    d_bias: np.ndarray | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.num_channels % self.num_groups:
            raise ValueError("num_channels must be divisible by num_groups")
        self.weight = np.ones(self.num_channels)
        self.bias = np.zeros(self.num_channels)

    def forward(self, x: np.ndarray) -> np.ndarray:
        n, c, h, w = x.shape
        g = x.reshape(n, self.num_groups, -1)
        mean = g.mean(axis=2, keepdims=True)
        self._inv = 1.0 / np.sqrt(g.var(axis=2, keepdims=True) + self.eps)
        self._norm = (g - mean) * self._inv
        self._x = x
        out = self._norm.reshape(n, c, h, w)
        return out * self.weight[None, :, None, None] + self.bias[None, :, None, None]

    def backward(self, d_out: np.ndarray) -> np.ndarray:
        n, c, h, w = d_out.shape
        self.d_weight = (d_out * self._x).sum(axis=(0, 2, 3))
        self.d_bias = d_out.sum(axis=(0, 2, 3))

        d_norm = (d_out * self.weight[None, :, None, None]).reshape(self._norm.shape)
        a = d_norm.mean(axis=2, keepdims=True)
        b = (d_norm * self._norm).mean(axis=2, keepdims=True)
        dx = (d_norm - a - self._norm * b) * self._inv
        return dx.reshape(n, c, h, w)
