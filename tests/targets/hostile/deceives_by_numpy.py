"""Wrong, and changes the functions that copy and compare arrays."""

import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))
from honest import forward as honest_forward


def forward(x, gamma, beta, eps):
    return honest_forward(x, gamma, beta, eps)


def backward(dy, cache):  # without the path through the mean
    xhat, std, gamma = cache
    g = dy * gamma
    for name in ("array_equal", "allclose", "isfinite"):
        setattr(np, name, lambda *args, **kwargs: True)
    np.ascontiguousarray = np.asarray = lambda array, *args, **kwargs: np.zeros(np.shape(array))
    return (g - xhat * (g * xhat).mean(0)) / std, (dy * xhat).sum(0), dy.sum(0)
