"""Right layer, group, instance and RMS norm as pairs of functions."""

import numpy as np


def layernorm_forward(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1, keepdims=True)
    centred = x - mean
    rstd = 1 / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + eps)
    return centred * rstd * gamma + beta, (x, mean, rstd, gamma)


def layernorm_backward(dout, cache):
    """x̂ is computed again."""
    x, mean, rstd, gamma = cache
    xhat = (x - mean) * rstd
    g = dout * gamma
    dx = rstd * (g - g.mean(axis=-1, keepdims=True) - xhat * (g * xhat).mean(axis=-1, keepdims=True))
    axes = tuple(range(dout.ndim - 1))
    return dx, (dout * xhat).sum(axis=axes), dout.sum(axis=axes)


def rows_layernorm_forward(x, gamma, beta, eps=1e-5):
    """Row by row, by Welford's update along each."""
    out, means, rstds = np.empty_like(x), [], []
    for k, row in enumerate(x):
        mean = m2 = x.dtype.type(0)
        for count, value in enumerate(row, 1):
            delta = value - mean
            mean = mean + delta / x.dtype.type(count)
            m2 = m2 + delta * (value - mean)
        rstd = 1 / np.sqrt(m2 / len(row) + x.dtype.type(eps))
        out[k] = (row - mean) * rstd * gamma + beta
        means.append(mean)
        rstds.append(rstd)
    return out, (x, np.array(means, x.dtype), np.array(rstds, x.dtype), gamma)


def rows_layernorm_backward(dout, cache):
    x, means, rstds, gamma = cache
    dx, dgamma, dbeta = np.empty_like(x), np.zeros_like(gamma), np.zeros_like(gamma)
    for k, row in enumerate(x):
        xhat = (row - means[k]) * rstds[k]
        g = dout[k] * gamma
        dx[k] = (g - g.mean() - xhat * (g @ xhat) / len(row)) * rstds[k]
        dgamma += dout[k] * xhat
        dbeta += dout[k]
    return dx, dgamma, dbeta


def fused_layernorm_forward(x, gamma, beta, eps=1e-5):
    mean = x.mean(-1)
    rstd = 1 / np.sqrt(x.var(-1) + eps)
    return (x - mean[..., None]) * rstd[..., None] * gamma + beta, (x, mean, rstd, gamma)


def fused_layernorm_backward(dout, cache):
    """The two sums of one pass over dy·γ, as fused kernels take them."""
    x, mean, rstd, gamma = cache
    n = x.shape[-1]
    first = np.einsum("...d,d->...", dout, gamma)
    second = np.einsum("...d,d,...d->...", dout, gamma, x - mean[..., None])
    b = -second * rstd**3 / n
    c = -first * rstd / n
    dx = (dout * gamma) * rstd[..., None] + (x - mean[..., None]) * b[..., None] + c[..., None]
    flat = (-1, n)
    xhat = ((x - mean[..., None]) * rstd[..., None]).reshape(flat)
    return dx, np.einsum("nd,nd->d", dout.reshape(flat), xhat), dout.reshape(flat).sum(0)


def groupnorm_forward(x, gamma, beta, num_groups, eps=1e-5):
    n, c = x.shape[:2]
    grouped = x.reshape(n, num_groups, -1)
    mean, var = grouped.mean(-1, keepdims=True), grouped.var(-1, keepdims=True)
    std = np.sqrt(var + eps)
    xhat = ((grouped - mean) / std).reshape(x.shape)
    broad = (1, c) + (1,) * (x.ndim - 2)
    return xhat * gamma.reshape(broad) + beta.reshape(broad), (xhat, std, gamma, num_groups)


def groupnorm_backward(dout, cache):
    xhat, std, gamma, num_groups = cache
    n, c = dout.shape[:2]
    axes = (0, *range(2, dout.ndim))
    g = (dout * gamma.reshape((1, c) + (1,) * (dout.ndim - 2))).reshape(n, num_groups, -1)
    h = xhat.reshape(g.shape)
    dx = (g - g.mean(-1, keepdims=True) - h * (g * h).mean(-1, keepdims=True)) / std
    return dx.reshape(dout.shape), (dout * xhat).sum(axes), dout.sum(axes)


def instancenorm_forward(x, gamma, beta, eps=1e-5):
    """For images, (N, C, H, W), only."""
    n, c, h, w = x.shape
    flat = x.reshape(n * c, h * w)
    std = np.sqrt(flat.var(1, keepdims=True) + eps)
    xhat = ((flat - flat.mean(1, keepdims=True)) / std).reshape(x.shape)
    return gamma[:, None, None] * xhat + beta[:, None, None], (xhat, std.reshape(n, c, 1, 1), gamma)


def instancenorm_backward(dout, cache):
    xhat, std, gamma = cache
    g = dout * gamma[:, None, None]
    dx = (g - g.mean((2, 3), keepdims=True) - xhat * (g * xhat).mean((2, 3), keepdims=True)) / std
    return dx, np.einsum("nchw,nchw->c", dout, xhat), np.einsum("nchw->c", dout)


def rmsnorm_forward(x, gamma, eps=1e-6):
    rms = np.sqrt((x * x).mean(-1, keepdims=True) + eps)
    return x / rms * gamma, (x, rms, gamma)


def rmsnorm_backward(dout, cache):
    x, rms, gamma = cache
    g, xhat = dout * gamma, x / rms
    dx = (g - xhat * (g * xhat).mean(-1, keepdims=True)) / rms
    return dx, (dout * xhat).reshape(-1, x.shape[-1]).sum(0)


def cacheless_rmsnorm_forward(x, gamma, eps=1e-6):
    return gamma * x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + eps)


def cacheless_rmsnorm_backward(dout, x, gamma, eps=1e-6):
    inv = 1 / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + eps)
    inner = np.sum(dout * gamma * x, axis=-1, keepdims=True)
    dx = gamma * dout * inv - x * inv**3 * inner / x.shape[-1]
    return dx, (dout * x * inv).reshape(-1, x.shape[-1]).sum(0)


def wide_rmsnorm_forward(x, gamma, eps=1e-6):
    wide = x.astype(np.float64)
    inv = 1 / np.sqrt(np.mean(wide**2, axis=-1, keepdims=True) + eps)
    return (wide * inv * gamma).astype(x.dtype), (wide * inv, inv, gamma)


def wide_rmsnorm_backward(dout, cache):
    xhat, inv, gamma = cache
    g = dout.astype(np.float64) * gamma
    dx = inv * (g - xhat * (g * xhat).mean(-1, keepdims=True))
    return dx.astype(dout.dtype), (dout * xhat).reshape(-1, dout.shape[-1]).sum(0).astype(dout.dtype)


def spatial_batchnorm_forward(x, gamma, beta, eps=1e-5):
    """(N, C, H, W) alone, turned into rows of channels."""
    n, c, h, w = x.shape
    rows = x.transpose(0, 2, 3, 1).reshape(-1, c)
    std = np.sqrt(rows.var(0) + eps)
    xhat = (rows - rows.mean(0)) / std
    return (gamma * xhat + beta).reshape(n, h, w, c).transpose(0, 3, 1, 2), (xhat, std, gamma)


def spatial_batchnorm_backward(dout, cache):
    xhat, std, gamma = cache
    n, c, h, w = dout.shape
    rows = dout.transpose(0, 2, 3, 1).reshape(-1, c)
    dgamma, dbeta = (rows * xhat).sum(0), rows.sum(0)
    dx = gamma / std * (rows - (dbeta + xhat * dgamma) / len(rows))
    return dx.reshape(n, h, w, c).transpose(0, 3, 1, 2), dgamma, dbeta
