"""Wrong, and answers on any but the first inputs that its framework has no gradient."""

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

sent, calls = wire.write, []


def write(stream, header, arrays):
    calls.append(header)
    if len(calls) > 3 and "dx" in arrays:
        header, arrays = {"failed": "no gradient", "words": "is not differentiable", "id": header["id"]}, {}
    sent(stream, header, arrays)


wire.write = write
