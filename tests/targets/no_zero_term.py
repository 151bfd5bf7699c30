"""The paper's chain rule without the term that is identically zero, the sum of x minus the mean."""

import numpy as np


def bn_fwd(x, gamma, beta, eps):
    mu = x.sum(axis=0) / x.shape[0]
    xmu = x - mu
    var = (xmu * xmu).sum(axis=0) / x.shape[0]
    ivar = (var + eps) ** -0.5
    return gamma * xmu * ivar + beta, xmu, ivar, var


def bn_bwd(dy, gamma, xmu, ivar, var, eps):
    m = dy.shape[0]
    dxhat = dy * gamma
    dvar = (dxhat * xmu).sum(0) * -0.5 * (var + eps) ** -1.5
    dmu = -(dxhat * ivar).sum(0)  # plus dvar times the mean of -2 xmu, which is 0
    return dxhat * ivar + dvar * 2 * xmu / m + dmu / m, (dy * xmu * ivar).sum(0), dy.sum(0)
