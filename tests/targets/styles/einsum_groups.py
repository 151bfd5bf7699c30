import numpy as np


def gn_forward(x, w, b, G=2, eps=1e-5):
    """x: (n, h, w, c)"""
    shape = x.shape
    x = x.reshape(*shape[:3], G, shape[3] // G)
    size = np.prod(x.shape[1:]) // G
    mean = np.einsum("nhwgk->ng", x) / size
    cen = x - mean[:, None, None, :, None]
    var = np.einsum("nhwgk,nhwgk->ng", cen, cen) / size
    rstd = (var + eps) ** -0.5
    xh = np.einsum("nhwgk,ng->nhwgk", cen, rstd)
    y = xh.reshape(shape) * w + b
    return y, (xh, rstd, w, size)


def gn_backward(dy, ctx):
    xh, rstd, w, size = ctx
    flat = xh.reshape(dy.shape)
    dw = np.einsum("nhwc,nhwc->c", dy, flat)
    db = np.einsum("nhwc->c", dy)
    dh = (dy * w).reshape(xh.shape)
    s1 = np.einsum("nhwgk->ng", dh)[:, None, None, :, None]
    s2 = np.einsum("nhwgk,nhwgk->ng", dh, xh)[:, None, None, :, None]
    dx = rstd[:, None, None, :, None] * (dh - s1 / size - xh * s2 / size)
    return dx.reshape(dy.shape), dw, db
