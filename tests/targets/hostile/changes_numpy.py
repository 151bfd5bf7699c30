"""Changes NumPy for everybody."""

import numpy as np
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from honest import backward as honest_backward
from honest import forward as honest_forward


def forward(x, gamma, beta, eps):
    np.seterr(all="raise")
    np.random.seed(1)
    mean = np.mean
    np.mean = lambda *args, **kwargs: mean(*args, **kwargs) + 1
    return honest_forward(x, gamma, beta, eps)


def backward(dy, cache):
    return honest_backward(dy, cache)
