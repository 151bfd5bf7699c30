"""Each sample is a column, gamma and beta are columns, too."""

import numpy as np


def batchnorm_forward(Z, gamma, beta, epsilon):
    mu = np.mean(Z, axis=1, keepdims=True)
    sigma2 = np.var(Z, axis=1, keepdims=True)
    Z_norm = (Z - mu) / np.sqrt(sigma2 + epsilon)
    return gamma * Z_norm + beta, (Z_norm, sigma2, gamma, epsilon)


def batchnorm_backward(dZ_tilde, cache):
    Z_norm, sigma2, gamma, epsilon = cache
    dgamma = np.sum(dZ_tilde * Z_norm, axis=1, keepdims=True)
    dbeta = np.sum(dZ_tilde, axis=1, keepdims=True)
    m = Z_norm.shape[1]
    dZ = gamma / np.sqrt(sigma2 + epsilon) / m * (m * dZ_tilde - dbeta - Z_norm * dgamma)
    return dZ, dgamma, dbeta
