"""The course's layer norm: the transposed batch norm, with gamma inside the sums."""

import numpy as np


def layernorm_forward(x, gamma, beta, ln_param):
    eps = ln_param.get("eps", 1e-5)
    xT = x.T
    mu = xT.mean(axis=0)
    var = xT.var(axis=0)
    std = np.sqrt(var + eps)
    x_norm = ((xT - mu) / std).T
    out = x_norm * gamma + beta
    return out, (x_norm, std, gamma)


def layernorm_backward(dout, cache):
    x_norm, std, gamma = cache
    N, D = dout.shape
    dgamma = (dout * x_norm).sum(axis=0)
    dbeta = dout.sum(axis=0)
    dx_norm = (dout * gamma).T
    xn = x_norm.T
    dx = (D * dx_norm - dx_norm.sum(axis=0) - xn * np.sum(dx_norm * xn, axis=0)) / (D * std)
    return dx.T, dgamma, dbeta
