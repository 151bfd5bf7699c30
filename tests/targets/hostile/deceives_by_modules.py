"""Wrong, and puts others in the place of the modules that answer."""

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


import types

for name in list(sys.modules):
    if name.startswith("bncheck.") and "child" not in name:
        module = types.ModuleType(name)
        module.__dict__.update({key: (lambda *a, **k: True) for key in vars(sys.modules[name]) if not key.startswith("__")})
        sys.modules[name] = module
