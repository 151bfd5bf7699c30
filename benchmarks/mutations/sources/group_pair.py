"""Group norm on images: groups made by a reshape, statistics over what a group holds."""

import numpy as np


def spatial_groupnorm_forward(x, gamma, beta, G, gn_param):
    eps = gn_param.get("eps", 1e-5)
    N, C, H, W = x.shape
    xg = x.reshape(N, G, C // G, H, W)
    mean = xg.mean(axis=(2, 3, 4), keepdims=True)
    var = xg.var(axis=(2, 3, 4), keepdims=True)
    ivar = 1.0 / np.sqrt(var + eps)
    xhat = ((xg - mean) * ivar).reshape(N, C, H, W)
    out = gamma * xhat + beta
    return out, (G, xhat, ivar, gamma)


def spatial_groupnorm_backward(dout, cache):
    G, xhat, ivar, gamma = cache
    N, C, H, W = dout.shape
    dbeta = dout.sum(axis=(0, 2, 3), keepdims=True)
    dgamma = (dout * xhat).sum(axis=(0, 2, 3), keepdims=True)
    dxhat = (dout * gamma).reshape(N, G, C // G, H, W)
    xg = xhat.reshape(N, G, C // G, H, W)
    m = C // G * H * W
    s1 = dxhat.sum(axis=(2, 3, 4), keepdims=True)
    s2 = (dxhat * xg).sum(axis=(2, 3, 4), keepdims=True)
    dx = ivar / m * (m * dxhat - s1 - xg * s2)
    return dx.reshape(N, C, H, W), dgamma, dbeta
