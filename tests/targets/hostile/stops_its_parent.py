"""Stops the process that started it, and goes on for ever."""

import os
import signal
import time
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from honest import backward as honest_backward
from honest import forward as honest_forward


def forward(x, gamma, beta, eps):
    return honest_forward(x, gamma, beta, eps)


def backward(dy, cache):
    try:
        os.kill(os.getppid(), signal.SIGSTOP)
    finally:
        time.sleep(1000)
    return honest_backward(dy, cache)
