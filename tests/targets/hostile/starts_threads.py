"""Starts threads that never end."""

import sys
import threading
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from honest import backward as honest_backward
from honest import forward as honest_forward


def forward(x, gamma, beta, eps):
    return honest_forward(x, gamma, beta, eps)


def backward(dy, cache):
    return honest_backward(dy, cache)


def spin():
    while True:
        time.sleep(0.001)


for _ in range(4):
    threading.Thread(target=spin).start()
