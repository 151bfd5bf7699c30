"""Prints and prints."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from honest import backward as honest_backward
from honest import forward as honest_forward


def forward(x, gamma, beta, eps):
    while True:
        print("noise " * 1000)
    return honest_forward(x, gamma, beta, eps)


def backward(dy, cache):
    return honest_backward(dy, cache)
