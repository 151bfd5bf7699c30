import numpy as np


def bn(x, g, b, eps=1e-5):
    """
    >>> y, back = bn(x, g, b)
    >>> dx, dg, db = back(dy)
    """
    mu = np.mean(x, axis=0)
    c = x - mu
    r = 1.0 / np.sqrt(np.mean(c * c, axis=0) + eps)
    xh = c * r

    def back(dy):
        dxh = dy * g
        dr = np.sum(dxh * c, axis=0)
        dc = dxh * r - c * dr * r ** 3 / len(x)
        return dc - dc.mean(axis=0), np.sum(dy * xh, axis=0), dy.sum(axis=0)

    return g * xh + b, back
