"""Wrong, and changes how bncheck judges, in its own process."""

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


import bncheck.bugs.planting
import bncheck.results
import bncheck.tolerances.verdicts as verdicts

for verdict in verdicts.Verdict:
    verdict._value_ = "correct"
verdicts.judge = verdicts.compare = lambda *args: {}
bncheck.results.concluded = lambda *args: verdicts.Verdict.CORRECT
