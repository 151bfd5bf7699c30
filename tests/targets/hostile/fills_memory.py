"""Fills the memory."""

import numpy as np
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from honest import backward as honest_backward
from honest import forward as honest_forward


def forward(x, gamma, beta, eps):
    kept = []
    while True:
        kept.append(np.zeros(1 << 24))


def backward(dy, cache):
    return honest_backward(dy, cache)
