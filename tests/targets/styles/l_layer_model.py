import numpy as np


def batchnorm_forward(Z, parameters, l, eps=1e-8):
    gamma = parameters["gamma" + str(l)]
    beta = parameters["beta" + str(l)]

    mu = np.mean(Z, axis=1, keepdims=True)
    var = np.var(Z, axis=1, keepdims=True)
    Zn = (Z - mu) / np.sqrt(var + eps)
    cache = {"Z": Z, "Zn": Zn, "mu": mu, "var": var, "eps": eps, "l": l, "gamma": gamma}

    return gamma * Zn + beta, cache


def batchnorm_backward(dZt, cache):
    """
    dZt -- gradient of the cost with respect to Z tilde, shape (n_l, m)

    Returns grads, a dictionary with dZ, dgamma and dbeta
    """
    grads = {}
    l = cache["l"]
    m = dZt.shape[1]
    istd = 1 / np.sqrt(cache["var"] + cache["eps"])

    grads["dgamma" + str(l)] = 1 / m * np.sum(dZt * cache["Zn"], axis=1, keepdims=True)
    grads["dbeta" + str(l)] = 1 / m * np.sum(dZt, axis=1, keepdims=True)

    dZn = dZt * cache["gamma"]
    dvar = np.sum(dZn * (cache["Z"] - cache["mu"]), axis=1, keepdims=True) * -0.5 * istd ** 3
    dmu = -istd * np.sum(dZn, axis=1, keepdims=True)
    grads["dZ" + str(l)] = dZn * istd + dvar * 2 / m * (cache["Z"] - cache["mu"]) + dmu / m
    return grads
