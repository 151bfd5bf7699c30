"""Prints without end, on every stream there is."""

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from honest import backward as honest_backward
from honest import forward as honest_forward


def forward(x, gamma, beta, eps):
    for stream in (sys.stdout, sys.stderr, sys.__stdout__):
        stream.write("noise " * 200000)
        stream.flush()
    os.write(1, b"\\0\\0\\0\\2{}" * 1000)
    return honest_forward(x, gamma, beta, eps)


def backward(dy, cache):
    return honest_backward(dy, cache)
