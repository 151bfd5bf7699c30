"""
Layer norm ops for a small GPT in numpy.

    y, ctx = layernorm(x, w, b)
    dx, (dw, db) = layernorm_vjp(dy, ctx)
"""
import numpy as np


def layernorm(x, w, b, eps=1e-5):
    x -= np.mean(x, axis=-1, keepdims=True)
    var = np.mean(x * x, axis=-1, keepdims=True)
    rstd = 1.0 / np.sqrt(var + eps)
    xhat = x * rstd
    y = xhat * w + b
    return y, (xhat, rstd, w)


def layernorm_vjp(dy, ctx):
    xhat, rstd, w = ctx
    lead = tuple(range(dy.ndim - 1))

    dw = np.sum(dy * xhat, axis=lead)
    db = np.sum(dy, axis=lead)

    g = dy * w
    dx = g - g.mean(-1, keepdims=True)
    dx -= xhat * np.mean(g * xhat, axis=-1, keepdims=True)
    dx *= rstd
    return dx, (dw, db)
