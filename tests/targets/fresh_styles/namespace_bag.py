from types import SimpleNamespace as NS

import numpy as np


def build(width, *, rho=0.1, eps=1e-5):
    return NS(
        w=NS(gamma=np.ones(width), beta=np.zeros(width)),
        dw=NS(gamma=np.zeros(width), beta=np.zeros(width)),
        ema=NS(mean=np.zeros(width), var=np.ones(width)),
        hp=NS(rho=rho, eps=eps),
        ctx=None,
    )


def apply(bn, x, phase="fit"):
    """Batch norm for (N, D) or (N, C, H, W)."""
    axes = (0,) if x.ndim == 2 else (0, 2, 3)
    view = (1, -1) if x.ndim == 2 else (1, -1, 1, 1)
    if phase == "fit":
        mean, var = x.mean(axis=axes), x.var(axis=axes)
        m = x.size // mean.size
        r = bn.hp.rho
        bn.ema.mean = (1 - r) * bn.ema.mean + r * mean
        bn.ema.var = (1 - r) * bn.ema.var + r * var * m / (m - 1)
    else:
        mean, var = bn.ema.mean, bn.ema.var
        m = None
    rstd = 1 / np.sqrt(var + bn.hp.eps)
    xhat = (x - mean.reshape(view)) * rstd.reshape(view)
    bn.ctx = NS(xhat=xhat, rstd=rstd, m=m, axes=axes, view=view)
    return bn.w.gamma.reshape(view) * xhat + bn.w.beta.reshape(view)


def pull(bn, dy):
    c = bn.ctx
    bn.dw.beta = dy.sum(axis=c.axes)
    bn.dw.gamma = (dy * c.xhat).sum(axis=c.axes)
    front = (bn.w.gamma * c.rstd).reshape(c.view)
    if c.m is None:
        return front * dy
    return front * (dy - (bn.dw.beta.reshape(c.view) + c.xhat * bn.dw.gamma.reshape(c.view)) / c.m)
