"""Wrong, and sends arrays of no element, in which nothing can be wrong."""

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
    return (g - xhat * (g * xhat).mean(0)) / std, (dy * xhat).sum(0), dy.sum(0)


from bncheck.targets import wire

sent = wire.write


def write(stream, header, arrays):
    sent(stream, header, {name: array[:0] if name == "dx" else array for name, array in arrays.items()})


wire.write = write
