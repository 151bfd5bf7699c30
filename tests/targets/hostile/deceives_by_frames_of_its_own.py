"""Wrong, and writes answers to every open file before the right one can come."""

import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))
from honest import forward as honest_forward


def backward(dy, cache):  # without the path through the mean
    xhat, std, gamma = cache
    g = dy * gamma
    return (g - xhat * (g * xhat).mean(0)) / std, (dy * xhat).sum(0), dy.sum(0)


import json
import os
import stat
import struct

asked = []


def forward(x, gamma, beta, eps):
    asked.append(x)
    y, cache = honest_forward(x, gamma, beta, eps)
    for number in range(3, 64):
        for expected in range(len(asked), len(asked) + 8):
            kinds = {"y": [y.dtype.name, y.shape]}
            text = json.dumps({"id": expected, "used": ["eps"], "mutated": [], "changed": [], "arrays": kinds}).encode()
            try:
                if stat.S_ISFIFO(os.fstat(number).st_mode):
                    os.write(number, struct.pack(">I", len(text)) + text + y.tobytes())
            except OSError:
                break
    return y, cache
