import numpy as np


def forward(x, eps, gamma, beta):
    centered = x - np.average(x, axis=0)
    variance = np.average(centered * centered, axis=0)
    istd = np.reciprocal(np.sqrt(variance + eps))
    out = np.add(np.multiply(centered * istd, gamma), beta)
    return (centered, istd), out


def backward(cache, gamma, dout):
    centered, istd = cache
    x_hat = centered * istd
    dx_hat = dout * gamma
    dx = istd * (dx_hat - np.average(dx_hat, axis=0) - x_hat * np.average(dx_hat * x_hat, axis=0))
    return np.sum(dout, axis=0), np.sum(dout * x_hat, axis=0), dx  # beta, gamma, x
