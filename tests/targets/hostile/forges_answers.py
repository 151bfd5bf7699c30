"""Writes its own answer to every open file descriptor."""

import contextlib
import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from honest import backward as honest_backward
from honest import forward as honest_forward


def forward(x, gamma, beta, eps):
    for number in range(3, 32):
        with contextlib.suppress(OSError):
            os.write(number, b"\\0\\0\\0\\2{}" * 100)
    return honest_forward(x, gamma, beta, eps)


def backward(dy, cache):
    return honest_backward(dy, cache)
