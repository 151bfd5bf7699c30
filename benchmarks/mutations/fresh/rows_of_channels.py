"""Batch norm of images: one row for each channel, and a gradient that is three coefficients a row."""

import numpy as np


def to_rows(images):
    n, c, h, w = images.shape
    return images.transpose(1, 0, 2, 3).reshape(c, n * h * w)


def from_rows(rows, shape):
    n, c, h, w = shape
    return rows.reshape(c, n, h, w).transpose(1, 0, 2, 3)


def batchnorm2d_forward(x, gamma, beta, eps=1e-3):
    rows = to_rows(x)
    m = rows.shape[1]
    mean = rows.sum(axis=1) / m
    dev = rows - mean[:, np.newaxis]
    var = np.einsum("cm,cm->c", dev, dev) / m
    inv_std = (var + eps) ** -0.5
    scale = gamma * inv_std
    y = dev * scale[:, np.newaxis] + beta[:, np.newaxis]
    return from_rows(y, x.shape), {"dev": dev, "inv_std": inv_std, "scale": scale, "shape": x.shape}


def batchnorm2d_backward(dy, cache):
    dev, inv_std, scale = cache["dev"], cache["inv_std"], cache["scale"]
    g = to_rows(dy)
    m = g.shape[1]
    sum_g = g.sum(axis=1)
    sum_gd = np.einsum("cm,cm->c", g, dev)

    dbeta = sum_g
    dgamma = sum_gd * inv_std

    # dx = a * dy + b * (x - mean) + c
    a = scale
    b = -scale * inv_std**2 * sum_gd / m
    c = -scale * sum_g / m
    dx = a[:, None] * g + b[:, None] * dev + c[:, None]
    return from_rows(dx, cache["shape"]), dgamma, dbeta
