"""Right for its own forward, but eps stands outside the root, and the variance is unbiased."""

import numpy as np


def batchnorm_forward(x, gamma, beta, eps=1e-3):
    xc = x - x.mean(0)
    std = np.sqrt((xc**2).sum(0) / (len(x) - 1))
    return gamma * xc / (std + eps) + beta, (xc, std, gamma, eps)


def batchnorm_backward(dout, cache):
    xc, std, gamma, eps = cache
    g = dout * gamma
    dstd = -(g * xc).sum(0) / (std + eps) ** 2
    dxc = g / (std + eps) + dstd * xc / std / (len(xc) - 1)
    return dxc - dxc.mean(0), (dout * xc / (std + eps)).sum(0), dout.sum(0)
