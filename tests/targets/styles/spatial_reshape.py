import numpy as np


def bn_flat(x, gamma, beta, eps):
    mu, var = x.mean(axis=0), x.var(axis=0)
    xn = (x - mu) / np.sqrt(var + eps)
    return gamma * xn + beta, (xn, var, gamma, eps)


def bn_flat_back(dout, cache):
    xn, var, gamma, eps = cache
    dxn = dout * gamma
    dx = (dxn - dxn.mean(axis=0) - xn * (dxn * xn).mean(axis=0)) / np.sqrt(var + eps)
    return dx, (dout * xn).sum(axis=0), dout.sum(axis=0)


def spatial_batchnorm_forward(x, gamma, beta, eps=1e-5):
    N, C, H, W = x.shape
    out, cache = bn_flat(np.moveaxis(x, 1, -1).reshape(N * H * W, C), gamma, beta, eps)
    return np.moveaxis(out.reshape(N, H, W, C), -1, 1), cache


def spatial_batchnorm_backward(dout, cache):
    N, C, H, W = dout.shape
    dx, dgamma, dbeta = bn_flat_back(np.moveaxis(dout, 1, -1).reshape(N * H * W, C), cache)
    return np.moveaxis(dx.reshape(N, H, W, C), -1, 1), dgamma, dbeta
