"""Batch norm in the functional way: forward hands back a pullback, which removes from the gradient what is lost."""

import numpy as np


def _column_mean(a):
    return a.mean(axis=0, keepdims=True)


def batchnorm_forward(x, gamma, beta, eps=1e-5):
    """Returns the output and a closure that maps the gradient of the output to those of the inputs."""
    centered = x - _column_mean(x)
    power = _column_mean(np.square(centered))
    std = np.sqrt(power + eps)
    z = np.divide(centered, std)

    def pullback(dout):
        # the gradient for z, made orthogonal to the ones and then, as far as eps lets it be, to z
        g = dout * gamma
        g = g - _column_mean(g)
        g = g - z * _column_mean(g * z)
        return g / std, (dout * z).sum(0), dout.sum(0)

    return z * gamma + beta, pullback


def batchnorm_backward(dout, cache):
    pullback = cache
    return pullback(dout)
