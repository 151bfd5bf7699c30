"""Right in every respect: what the hostile ones are made of."""

import numpy as np


def forward(x, gamma, beta, eps):
    std = np.sqrt(x.var(0) + eps)
    xhat = (x - x.mean(0)) / std
    return gamma * xhat + beta, (xhat, std, gamma)


def backward(dy, cache):
    xhat, std, gamma = cache
    g = dy * gamma
    return (g - g.mean(0) - xhat * (g * xhat).mean(0)) / std, (dy * xhat).sum(0), dy.sum(0)
