from contextlib import contextmanager

import numpy as np


class Step:
    """What is known between entering and leaving one training step."""

    def __init__(self, owner):
        self.owner = owner
        self.d_gamma = self.d_beta = None

    def forward(self, x):
        o = self.owner
        self.mean, self.var = x.mean(0), x.var(0)
        self.inv = 1.0 / np.sqrt(self.var + o.eps)
        self.xhat = (x - self.mean) * self.inv
        return o.gamma * self.xhat + o.beta

    def backward(self, dy):
        n = dy.shape[1]
        self.d_beta = dy.sum(0)
        self.d_gamma = (dy * self.xhat).sum(0)
        return self.owner.gamma * self.inv / n * (n * dy - self.d_beta - self.xhat * self.d_gamma)


class BatchNorm:
    def __init__(self, dim, eps=1e-5, momentum=0.1):
        self.gamma, self.beta = np.ones(dim), np.zeros(dim)
        self.mean, self.var = np.zeros(dim), np.ones(dim)
        self.eps, self.momentum = eps, momentum

    @contextmanager
    def step(self):
        """with bn.step() as s: y = s.forward(x); dx = s.backward(dy)"""
        s = Step(self)
        yield s
        self.mean = (1 - self.momentum) * self.mean + self.momentum * s.mean
        self.var = (1 - self.momentum) * self.var + self.momentum * s.var

    def infer(self, x):
        return self.gamma * (x - self.mean) / np.sqrt(self.var + self.eps) + self.beta
