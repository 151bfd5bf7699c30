import numba as nb
import numpy as np

EPS = 1e-5


@nb.njit(cache=False, fastmath=False)
def ln(x, w, b):
    out = np.empty_like(x)
    xh = np.empty_like(x)
    rs = np.empty(x.shape[0])
    for r in range(x.shape[0]):
        row = x[r]
        mu = row.mean()
        rs[r] = 1 / np.sqrt(((row - mu) ** 2).sum() / row.size + EPS)
        xh[r] = (row - mu) * rs[r]
        out[r] = xh[r] * w + b
    return out, xh, rs


@nb.njit
def ln_grad(dout, xh, rs, w):
    dx = np.empty_like(dout)
    dw = np.zeros_like(w)
    db = np.zeros_like(w)
    m = 0.0
    p = 0.0
    for r in range(dout.shape[0]):
        dw += dout[r] * xh[r]
        db += dout[r]
        g = dout[r] * w
        m += g.mean()
        p += (g * xh[r]).mean()
        dx[r] = (g - m - xh[r] * p) * rs[r]
    return dx, dw, db
