"""Starts a program that outlives it, unless somebody ends that."""

import subprocess
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from honest import backward as honest_backward
from honest import forward as honest_forward


def forward(x, gamma, beta, eps):
    subprocess.Popen(["sh", "-c", "trap '' TERM HUP; sleep 1000 & sleep 1000"], start_new_session=True)
    return honest_forward(x, gamma, beta, eps)


def backward(dy, cache):
    return honest_backward(dy, cache)
