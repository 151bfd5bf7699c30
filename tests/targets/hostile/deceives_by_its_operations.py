"""Wrong, and takes the place of what answers requests."""

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


import gc

for thing in gc.get_objects():
    if isinstance(thing, dict) and {"start", "load", "call", "train"} <= {k for k in thing if isinstance(k, str)}:

        def call(*args, answer=thing["call"]):
            header, arrays = answer(*args)
            return header, {name: array * (name != "dx") for name, array in arrays.items()}

        thing["call"] = call
