"""Kills all processes of its group."""

import os
import signal
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from honest import backward as honest_backward
from honest import forward as honest_forward


def forward(x, gamma, beta, eps):
    os.killpg(0, signal.SIGKILL)
    return honest_forward(x, gamma, beta, eps)


def backward(dy, cache):
    return honest_backward(dy, cache)
