"""RMS norm; the parameter is made when the first input is seen."""

import numpy as np


class RMSNorm:
    def __init__(self):
        self.g = None

    def forward(self, x):
        if self.g is None:
            self.g = np.ones(x.shape[-1])
        self.x = x
        self.r = np.sqrt((x**2).mean(-1, keepdims=True) + 1e-8)
        return self.g * x / self.r

    def backward(self, dy):
        self.dg = (dy * self.x / self.r).sum(tuple(range(dy.ndim - 1)))
        d = dy * self.g
        return d / self.r - self.x * (d * self.x).mean(-1, keepdims=True) / self.r**3
