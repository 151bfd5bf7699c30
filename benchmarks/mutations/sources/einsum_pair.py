"""Batch norm in Einstein's notation."""

import numpy as np


def batch_norm_forward(x, gamma, beta, eps=1e-5):
    n = x.shape[0]
    mu = np.einsum("nc->c", x) / n
    centered = x - mu
    var = np.einsum("nc,nc->c", centered, centered) / n
    rstd = (var + eps) ** -0.5
    xhat = np.einsum("nc,c->nc", centered, rstd)
    y = np.einsum("nc,c->nc", xhat, gamma) + beta
    return y, (xhat, rstd, gamma)


def batch_norm_backward(dy, saved):
    xhat, rstd, gamma = saved
    n = dy.shape[0]
    dgamma = np.einsum("nc,nc->c", dy, xhat)
    dbeta = np.einsum("nc->c", dy)
    dxhat = np.einsum("nc,c->nc", dy, gamma)
    proj = np.einsum("nc,nc->c", dxhat, xhat) / n
    dx = np.einsum("nc,c->nc", dxhat - np.einsum("nc->c", dxhat) / n - xhat * proj, rstd)
    return dx, dgamma, dbeta
