from collections import namedtuple

import numpy as np

BNParams = namedtuple("BNParams", ["gamma", "beta"])
BNCache = namedtuple("BNCache", ["x_centered", "ivar", "x_hat", "gamma"])
BNGrads = namedtuple("BNGrads", ["x", "gamma", "beta"])

AXES = (0, 2, 3)


def init(channels):
    return BNParams(gamma=np.ones((1, channels, 1, 1)), beta=np.zeros((1, channels, 1, 1)))


def forward(params, x, eps=1e-5):
    """x is a batch of feature maps (N, C, H, W)."""
    mu = x.mean(axis=AXES, keepdims=True)
    x_centered = x - mu
    var = (x_centered ** 2).mean(axis=AXES, keepdims=True)
    ivar = 1.0 / np.sqrt(var + eps)
    x_hat = x_centered * ivar
    y = params.gamma * x_hat + params.beta
    return y, BNCache(x_centered, ivar, x_hat, params.gamma)


def backward(cache, dy):
    m = dy.shape[0]
    dgamma = (dy * cache.x_hat).sum(axis=AXES, keepdims=True)
    dbeta = dy.sum(axis=AXES, keepdims=True)

    dx_hat = dy * cache.gamma
    dvar = (dx_hat * cache.x_centered).sum(axis=AXES, keepdims=True) * -0.5 * cache.ivar ** 3
    dmu = -(dx_hat * cache.ivar).sum(axis=AXES, keepdims=True)
    dx = dx_hat * cache.ivar + dvar * 2.0 * cache.x_centered / m + dmu / m
    return BNGrads(x=dx, gamma=dgamma, beta=dbeta)
