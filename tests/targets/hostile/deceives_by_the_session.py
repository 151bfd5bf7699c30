"""Wrong, and finds what describes it in memory, and puts another backward there."""

import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))
from honest import forward as honest_forward


def backward(dy, cache):  # without the path through the mean
    xhat, std, gamma = cache
    g = dy * gamma
    return (g - xhat * (g * xhat).mean(0)) / std, (dy * xhat).sum(0), dy.sum(0)


import gc


def forward(x, gamma, beta, eps):
    for thing in gc.get_objects():
        if type(thing).__name__ == "Candidate":
            object.__setattr__(thing.style, "backward", lambda dy, cache: (dy * 0, *backward(dy, cache)[1:]))
    return honest_forward(x, gamma, beta, eps)
