"""Returns an object whose every method ends the process."""

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from honest import backward as honest_backward
from honest import forward as honest_forward


class Trap:
    def trap(self, *args, **kwargs):
        os._exit(9)

    __array__ = __eq__ = __repr__ = __str__ = __len__ = __iter__ = __bool__ = __float__ = trap


def forward(x, gamma, beta, eps):
    return honest_forward(x, gamma, beta, eps)


def backward(dy, cache):
    _, dgamma, dbeta = honest_backward(dy, cache)
    return Trap(), dgamma, dbeta
