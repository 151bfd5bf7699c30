import numpy as np

from ..base import Block
from ._util import moments, reduce_like


class SpatialBatchNorm(Block):
    """Per channel, over batch, height and width."""

    AXES = (0, 2, 3)

    def __init__(self, channels, eps=1e-5):
        shape = (1, channels, 1, 1)
        self.params = [np.ones(shape), np.zeros(shape)]
        self.grads = [np.zeros(shape), np.zeros(shape)]
        self.eps = eps

    def __call__(self, x):
        mean, var = moments(x, self.AXES)
        self.denom = np.sqrt(var + self.eps)
        self.norm = (x - mean) / self.denom
        gamma, beta = self.params
        return gamma * self.norm + beta

    def backward(self, dout):
        gamma, _ = self.params
        self.grads[0] += reduce_like(dout * self.norm, self.AXES)
        self.grads[1] += reduce_like(dout, self.AXES)
        dnorm = dout * gamma
        dmean, _ = moments(dnorm, self.AXES)
        dproj, _ = moments(dnorm * self.norm, self.AXES)
        return (dnorm - dmean - dproj * dnorm) / self.denom
