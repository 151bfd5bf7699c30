import numpy as np


def bn(gamma, beta, x, eps):
    mu = x.mean(axis=0)
    var = x.var(axis=0)
    xhat = (x - mu) * (1 / np.sqrt(var + eps))
    return gamma * xhat + beta, {"mu": mu, "var": var, "xhat": xhat, "x": x}


def bn_back(cache, gamma, eps, dout):
    x, mu, var, xhat = cache["x"], cache["mu"], cache["var"], cache["xhat"]
    m = len(x)
    dbeta = dout.sum(axis=0)
    dgamma = (dout * xhat).sum(axis=0)
    dxhat = gamma * dout
    dvar = (dxhat * (x - mu) * 0.5 * (var + eps) ** (-1.5)).sum(axis=0)
    dmu = -(dxhat / np.sqrt(var + eps)).sum(axis=0)
    dx = dxhat / np.sqrt(var + eps) + dvar * 2 * (x - mu) / m + dmu / m
    return dgamma, dbeta, dx
