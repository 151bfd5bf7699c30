"""Turns its process into another program."""

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from honest import backward as honest_backward
from honest import forward as honest_forward


def forward(x, gamma, beta, eps):
    return honest_forward(x, gamma, beta, eps)


def backward(dy, cache):
    os.execvp("sleep", ["sleep", "1000"])
    return honest_backward(dy, cache)
