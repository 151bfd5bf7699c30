"""layer.at(x) is the layer at a point: it has a value and a derivative."""
import numpy as np


class AtPoint:
    __slots__ = ("layer", "value", "_xhat", "_s")

    def __init__(self, layer, x):
        m = x.mean(axis=1, keepdims=True)
        self._s = np.sqrt(x.var(axis=1, keepdims=True) + layer.eps)
        self._xhat = (x - m) / self._s
        self.layer = layer
        self.value = layer.a * self._xhat + layer.c

    def derivative(self):
        """Returns a function: covector at the value -> covectors at x, a, c."""
        def transpose(w):
            v = w * self.layer.a
            along = (v * self._xhat).mean(axis=1, keepdims=True)
            at_x = (v - v.mean(axis=1, keepdims=True) - along * self._xhat) / self._s
            return at_x, (w * self._xhat).sum(axis=0), w.sum(axis=0)
        return transpose


class RowNorm:
    """Layer norm for matrices: every row is brought to mean 0 and variance 1."""

    def __init__(self, columns, eps=1e-5):
        self.a = np.ones(columns)
        self.c = np.zeros(columns)
        self.eps = eps

    def at(self, x):
        return AtPoint(self, np.asarray(x))
