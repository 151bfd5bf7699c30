"""Right batch norm as pairs of functions, one numerically sane way of computing after the other."""

import numpy as np


def _welford(x):
    """Mean and variance over the first axis, by Welford's update, sample by sample."""
    mean, m2 = np.zeros(x.shape[1:], x.dtype), np.zeros(x.shape[1:], x.dtype)
    for k, row in enumerate(x, 1):
        delta = row - mean
        mean = mean + delta / k
        m2 = m2 + delta * (row - mean)
    return mean.astype(x.dtype), (m2 / len(x)).astype(x.dtype)


def welford_norm_forward(x, gamma, beta, eps=1e-5):
    mean, var = _welford(x)
    std = np.sqrt(var + eps)
    xhat = (x - mean) / std
    return gamma * xhat + beta, (xhat, std, gamma)


def welford_norm_backward(dout, cache):
    xhat, std, gamma = cache
    g = dout * gamma
    dx = (g - g.mean(0) - xhat * (g * xhat).mean(0)) / std
    return dx, (dout * xhat).sum(0), dout.sum(0)


def _chan(x):
    """Mean and summed squares of the rows of x, merged pairwise as Chan, Golub and LeVeque do."""
    if len(x) == 1:
        return 1, x[0], np.zeros_like(x[0])
    na, ma, sa = _chan(x[: len(x) // 2])
    nb, mb, sb = _chan(x[len(x) // 2 :])
    n, delta = na + nb, mb - ma
    return n, ma + delta * nb / n, sa + sb + delta * delta * na * nb / n


def chan_norm_forward(x, gamma, beta, eps=1e-5):
    n, mean, m2 = _chan(x)
    inv = 1 / np.sqrt(m2 / n + eps)
    centred = x - mean
    return gamma * centred * inv + beta, (centred, inv, gamma)


def chan_norm_backward(dout, cache):
    centred, inv, gamma = cache
    n = len(dout)
    dgamma = (dout * centred).sum(0) * inv
    dbeta = dout.sum(0)
    return gamma * inv / n * (n * dout - dbeta - centred * inv * dgamma), dgamma, dbeta


def _kahan(values):
    total, lost = np.zeros_like(values[0]), np.zeros_like(values[0])
    for value in values:
        y = value - lost
        t = total + y
        lost = (t - total) - y
        total = t
    return total


def kahan_norm_forward(x, gamma, beta, eps=1e-5):
    n = len(x)
    mean = _kahan(x) / n
    centred = x - mean
    std = np.sqrt(_kahan(centred * centred) / n + eps)
    xhat = centred / std
    return gamma * xhat + beta, (xhat, std, gamma)


def kahan_norm_backward(dout, cache):
    xhat, std, gamma = cache
    n = len(dout)
    dgamma, dbeta = _kahan(dout * xhat), _kahan(dout)
    return gamma / std * (dout - dbeta / n - xhat * dgamma / n), dgamma, dbeta


def _neumaier(values):
    total, lost = np.zeros_like(values[0]), np.zeros_like(values[0])
    for value in values:
        t = total + value
        lost = lost + np.where(np.abs(total) >= np.abs(value), (total - t) + value, (value - t) + total)
        total = t
    return total + lost


def neumaier_norm_forward(x, gamma, beta, eps=1e-5):
    mean = _neumaier(x) / len(x)
    xhat = x - mean
    inv = (_neumaier(xhat**2) / len(x) + eps) ** -0.5
    xhat = xhat * inv
    return xhat * gamma + beta, {"xhat": xhat, "inv": inv, "gamma": gamma}


def neumaier_norm_backward(dout, cache):
    xhat, inv, gamma = cache["xhat"], cache["inv"], cache["gamma"]
    dxhat = dout * gamma
    first, second = _neumaier(dxhat), _neumaier(dxhat * xhat)
    dx = inv * (dxhat - first / len(dout) - xhat * second / len(dout))
    return dx, _neumaier(dout * xhat), _neumaier(dout)


def blocked_norm_forward(x, gamma, beta, eps=1e-5):
    """Sums in tiles of 64 rows."""
    n = len(x)
    tiles = [slice(k, k + 64) for k in range(0, n, 64)]
    mean = sum(x[t].sum(0) for t in tiles) / n
    var = sum(((x[t] - mean) ** 2).sum(0) for t in tiles) / n
    inv = 1 / np.sqrt(var + eps)
    out = np.empty_like(x)
    for t in tiles:
        out[t] = (x[t] - mean) * inv * gamma + beta
    return out, (x, mean, inv, gamma)


def blocked_norm_backward(dout, cache):
    x, mean, inv, gamma = cache
    n = len(x)
    tiles = [slice(k, k + 64) for k in range(0, n, 64)]
    dgamma = sum((dout[t] * (x[t] - mean)).sum(0) for t in tiles) * inv
    dbeta = sum(dout[t].sum(0) for t in tiles)
    dx = np.empty_like(x)
    for t in tiles:
        dx[t] = gamma * inv * (dout[t] - dbeta / n - (x[t] - mean) * inv * dgamma / n)
    return dx, dgamma, dbeta


def tiles_of_features_norm_forward(x, gamma, beta, eps=1e-5):
    """One tile of 128 features after the other."""
    out, saved = np.empty_like(x), []
    for k in range(0, x.shape[1], 128):
        part = x[:, k : k + 128]
        mean, var = part.mean(0), part.var(0)
        std = np.sqrt(var + eps)
        xhat = (part - mean) / std
        out[:, k : k + 128] = gamma[k : k + 128] * xhat + beta[k : k + 128]
        saved.append((xhat, std))
    return out, (saved, gamma)


def tiles_of_features_norm_backward(dout, cache):
    saved, gamma = cache
    dx, dgamma, dbeta = np.empty_like(dout), np.empty_like(gamma), np.empty_like(gamma)
    for k, (xhat, std) in enumerate(saved):
        t = slice(128 * k, 128 * (k + 1))
        g = dout[:, t]
        dgamma[t], dbeta[t] = (g * xhat).sum(0), g.sum(0)
        dx[:, t] = gamma[t] / std * (g - dbeta[t] / len(g) - xhat * dgamma[t] / len(g))
    return dx, dgamma, dbeta


def einsum_norm_forward(x, gamma, beta, eps=1e-5):
    n = x.shape[0]
    centred = x - np.einsum("nc->c", x) / n
    std = np.sqrt(np.einsum("nc,nc->c", centred, centred) / n + eps)
    xhat = centred / std
    return np.einsum("nc,c->nc", xhat, gamma) + beta, (xhat, std, gamma)


def einsum_norm_backward(dout, cache):
    xhat, std, gamma = cache
    n = dout.shape[0]
    dgamma, dbeta = np.einsum("nc,nc->c", dout, xhat), np.einsum("nc->c", dout)
    dx = np.einsum("c,nc->nc", gamma / std, dout - dbeta / n - np.einsum("nc,c->nc", xhat, dgamma) / n)
    return dx, dgamma, dbeta


def recomputed_norm_forward(x, gamma, beta, eps=1e-5):
    xhat = (x - x.mean(0)) / np.sqrt(x.var(0) + eps)
    return gamma * xhat + beta, (x, gamma, eps)


def recomputed_norm_backward(dout, cache):
    """All but x is computed once more."""
    x, gamma, eps = cache
    std = np.sqrt(x.var(0) + eps)
    xhat = (x - x.mean(0)) / std
    g = gamma * dout
    return (g - g.mean(0) - xhat * np.mean(g * xhat, 0)) / std, np.sum(dout * xhat, 0), np.sum(dout, 0)


def corrected_norm_forward(x, gamma, beta, eps=1e-5):
    """The corrected two-pass variance: what rounding left in the mean is taken out."""
    n = len(x)
    centred = x - x.mean(0)
    var = ((centred**2).sum(0) - centred.sum(0) ** 2 / n) / n
    std = np.sqrt(var + eps)
    return gamma * (centred / std) + beta, (centred / std, std, gamma)


def corrected_norm_backward(dout, cache):
    xhat, std, gamma = cache
    g = gamma * dout
    return (g - g.mean(0) - xhat * (g * xhat).mean(0)) / std, (dout * xhat).sum(0), dout.sum(0)


def shifted_norm_forward(x, gamma, beta, eps=1e-5):
    """One pass over data that is shifted by the mean of two rows and, after that, by its own mean."""
    shifted = x - (x[0] + x[-1]) / 2
    shifted = shifted - shifted.mean(0)
    var = np.maximum((shifted * shifted).mean(0) - shifted.mean(0) ** 2, 0)
    std = np.sqrt(var + eps)
    xhat = (shifted - shifted.mean(0)) / std
    return gamma * xhat + beta, (xhat, std, gamma)


def shifted_norm_backward(dout, cache):
    xhat, std, gamma = cache
    dxhat = dout * gamma
    dvar_path = xhat * (dxhat * xhat).mean(0)
    return (dxhat - dxhat.mean(0) - dvar_path) / std, (dout * xhat).sum(0), dout.sum(0)


def wide_norm_forward(x, gamma, beta, eps=1e-5):
    """Accumulated in double precision, answered in that of x."""
    wide = x.astype(np.float64)
    mean, var = wide.mean(0), wide.var(0)
    std = np.sqrt(var + eps)
    xhat = (wide - mean) / std
    return (gamma * xhat + beta).astype(x.dtype), (xhat, std, gamma)


def wide_norm_backward(dout, cache):
    xhat, std, gamma = cache
    wide = dout.astype(np.float64)
    g = wide * gamma
    dx = (g - g.mean(0) - xhat * (g * xhat).mean(0)) / std
    return tuple(one.astype(dout.dtype) for one in (dx, (wide * xhat).sum(0), wide.sum(0)))


def promoting_norm_forward(x, gamma, beta, eps=1e-5):
    """Answers in double precision whatever it is given."""
    x = np.asarray(x, dtype=np.float64)
    std = np.sqrt(x.var(0) + eps)
    xhat = (x - x.mean(0)) / std
    return gamma * xhat + beta, (xhat, std, gamma)


def promoting_norm_backward(dout, cache):
    xhat, std, gamma = cache
    g = dout * gamma
    return (g - g.mean(0) - xhat * (g * xhat).mean(0)) / std, (dout * xhat).sum(0), dout.sum(0)


def jacobian_norm_forward(x, gamma, beta, eps=1e-5):
    std = np.sqrt(x.var(0) + eps)
    xhat = (x - x.mean(0)) / std
    return gamma * xhat + beta, (xhat, std, gamma)


def jacobian_norm_backward(dout, cache):
    """The whole m by m Jacobian of each feature."""
    xhat, std, gamma = cache
    m = len(dout)
    jacobian = np.eye(m, dtype=dout.dtype)[:, :, None] - 1 / m - xhat[:, None] * xhat[None] / m
    dx = np.einsum("ijc,jc->ic", jacobian, dout * gamma) / std
    return dx, (dout * xhat).sum(0), dout.sum(0)


def projected_norm_forward(x, gamma, beta, eps=1e-5):
    centred = x - x.mean(0)
    std = np.sqrt(np.mean(centred * centred, 0) + eps)
    return centred / std * gamma + beta, (centred, std, gamma)


def projected_norm_backward(dout, cache):
    """A projection away from the ones, and what the variance takes."""
    centred, std, gamma = cache
    g = dout * gamma
    free = g - g.mean(0)
    dx = free / std - centred * ((free * centred).mean(0) / std**3)
    return dx, (dout * centred).sum(0) / std, dout.sum(0)


def cacheless_norm_forward(x, gamma, beta, eps=1e-5):
    std = np.sqrt(x.var(0) + eps)
    return gamma * (x - x.mean(0)) / std + beta


def cacheless_norm_backward(dout, x, gamma, eps=1e-5):
    std = np.sqrt(x.var(0) + eps)
    xhat = (x - x.mean(0)) / std
    g = gamma * dout
    return (g - g.mean(0) - xhat * (g * xhat).mean(0)) / std, (dout * xhat).sum(0), dout.sum(0)


def staged_norm_forward(x, gamma, beta, eps=1e-5):
    mu = x.mean(0)
    xmu = x - mu
    var = (xmu**2).mean(0)
    sqrtvar = np.sqrt(var + eps)
    ivar = 1 / sqrtvar
    xhat = xmu * ivar
    return gamma * xhat + beta, (xhat, gamma, xmu, ivar, sqrtvar)


def staged_norm_backward(dout, cache):
    """Stage by stage, the textbook's way, in place on buffers of its own."""
    xhat, gamma, xmu, ivar, sqrtvar = cache
    n = len(dout)
    dbeta, dgamma = dout.sum(0), (dout * xhat).sum(0)
    dxhat = dout * gamma
    divar = (dxhat * xmu).sum(0)
    dxmu = dxhat * ivar
    dvar = -0.5 * divar * ivar * ivar * ivar
    dxmu += 2 * xmu * dvar / n
    dxmu -= dxmu.sum(0) / n
    return dxmu, dgamma, dbeta
