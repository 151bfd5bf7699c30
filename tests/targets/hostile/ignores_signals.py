"""Ignores every signal that can be ignored, and hangs."""

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
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(1000)
    return honest_backward(dy, cache)
