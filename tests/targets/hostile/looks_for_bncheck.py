"""Looks for the process that asks, and would signal it."""

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from honest import backward as honest_backward
from honest import forward as honest_forward


def forward(x, gamma, beta, eps):
    with open(f"/proc/{os.getppid()}/stat") as stat:
        asking = int(stat.read().rpartition(")")[2].split()[1])
    os.kill(asking, 0)
    return honest_forward(x, gamma, beta, eps)


def backward(dy, cache):
    return honest_backward(dy, cache)
