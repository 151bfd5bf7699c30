import numpy as np
from numba import njit


@njit
def bn_forward(x, gamma, beta, eps):
    n, d = x.shape
    y = np.empty_like(x)
    mean = np.zeros(d)
    rstd = np.zeros(d)
    for j in range(d):
        s = 0.0
        for i in range(n):
            s += x[i, j]
        mean[j] = s / n
        q = 0.0
        for i in range(n):
            q += (x[i, j] - mean[j]) ** 2
        rstd[j] = 1.0 / np.sqrt(q / n + eps)
        for i in range(n):
            y[i, j] = gamma[j] * (x[i, j] - mean[j]) * rstd[j] + beta[j]
    return y, mean, rstd


@njit
def bn_backward(dy, x, gamma, mean, rstd):
    n, d = x.shape
    dx = np.empty_like(x)
    dgamma = np.zeros(d)
    dbeta = np.zeros(d)
    for j in range(d):
        for i in range(n):
            dbeta[j] += dy[i, j]
            dgamma[j] += dy[i, j] * (x[i, j] - mean[j]) * rstd[j]
        for i in range(n):
            xhat = (x[i, j] - mean[j]) * rstd[j]
            dx[i, j] = gamma[j] * rstd[j] * (dy[i, j] - dbeta[j] / n - xhat * dgamma[j] / n)
    return dx, dgamma, dbeta
