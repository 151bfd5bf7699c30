"""Answers differently every time."""

import secrets
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from honest import backward as honest_backward
from honest import forward as honest_forward


def forward(x, gamma, beta, eps):
    x = x + secrets.SystemRandom().random()
    y, cache = honest_forward(x, gamma, beta, eps)
    return y * (1 + secrets.SystemRandom().random()), cache


def backward(dy, cache):
    return honest_backward(dy, cache)
