"""A pair that is handed its running statistics, writes to them, and has a mode."""

import numpy as np


def batchnorm_forward(x, gamma, beta, running_mean, running_var, mode="train", momentum=0.1, eps=1e-5):
    if mode != "train":
        return gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta, None
    m = x.shape[0]
    mean = x.mean(axis=0)
    var = x.var(axis=0)
    running_mean[:] = (1 - momentum) * running_mean + momentum * mean
    running_var[:] = (1 - momentum) * running_var + momentum * var * m / (m - 1)
    std = np.sqrt(var + eps)
    xhat = (x - mean) / std
    return gamma * xhat + beta, (xhat, gamma, std)


def batchnorm_backward(dout, cache):
    xhat, gamma, std = cache
    dxhat = gamma * dout
    dgamma = (dout * xhat).sum(axis=0)
    dbeta = dout.sum(axis=0)
    dx = dxhat - dxhat.mean(axis=0) - xhat * (dxhat * xhat).mean(axis=0)
    return dx / std, dgamma, dbeta
