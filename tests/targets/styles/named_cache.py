from collections import namedtuple

import numpy as np

LNCache = namedtuple("LNCache", "xhat rstd weight")
LNGrads = namedtuple("LNGrads", ["dx", "dweight", "dbias"])


def layernorm_fwd(x, weight, bias, eps=1e-5):
    """x has shape (..., D)."""
    xmu = x - x.mean(-1, keepdims=True)
    rstd = 1.0 / np.sqrt((xmu**2).mean(-1, keepdims=True) + eps)
    xhat = xmu * rstd
    return xhat * weight + bias, LNCache(xhat=xhat, rstd=rstd, weight=weight)


def layernorm_bwd(dout, cache):
    lead = tuple(range(dout.ndim - 1))
    norm_dout = dout * cache.weight
    dx = norm_dout - norm_dout.mean(-1, keepdims=True) - cache.xhat * (norm_dout * cache.xhat).mean(-1, keepdims=True)
    return LNGrads(dx * cache.rstd, (dout * cache.xhat).sum(lead), dout.sum(lead))
