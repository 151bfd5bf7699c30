"""Writes to its inputs."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from honest import backward as honest_backward
from honest import forward as honest_forward


def forward(x, gamma, beta, eps):
    x -= x.mean(0)
    return honest_forward(x, gamma, beta, eps)


def backward(dy, cache):
    dy *= 1.5
    return honest_backward(dy, cache)
