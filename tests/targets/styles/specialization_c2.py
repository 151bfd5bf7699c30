import numpy as np

# Course 2, week 3.  Z is (n[l], m): one column per example.


def initialize_bn(layer_dims):
    parameters, v = {}, {}
    for l in range(1, len(layer_dims)):
        parameters["gamma" + str(l)] = np.ones((layer_dims[l], 1))
        parameters["beta" + str(l)] = np.zeros((layer_dims[l], 1))
        v["mu" + str(l)] = np.zeros((layer_dims[l], 1))
        v["sigma2" + str(l)] = np.ones((layer_dims[l], 1))
    return parameters, v


def linear_bn_forward(Z, gamma, beta, epsilon=1e-8):
    """
    Arguments:
    Z -- pre-activation, numpy array of shape (size of current layer, number of examples)
    gamma -- scale, numpy array of shape (size of current layer, 1)
    beta -- shift, numpy array of shape (size of current layer, 1)

    Returns:
    Z_tilde -- input of the activation function
    cache -- a python tuple containing "Z_norm", "gamma", "sigma2" and "epsilon"
    """
    m = Z.shape[1]
    mu = np.sum(Z, axis=1, keepdims=True) / m
    sigma2 = np.sum(np.square(Z - mu), axis=1, keepdims=True) / m
    Z_norm = (Z - mu) / np.sqrt(sigma2 + epsilon)
    Z_tilde = np.multiply(gamma, Z_norm) + beta

    assert Z_tilde.shape == Z.shape
    cache = (Z_norm, gamma, sigma2, epsilon)
    return Z_tilde, cache


def linear_bn_backward(dZ_tilde, cache):
    Z_norm, gamma, sigma2, epsilon = cache
    m = dZ_tilde.shape[1]

    dgamma = np.sum(np.multiply(dZ_tilde, Z_norm), axis=1, keepdims=True)
    dbeta = np.sum(dZ_tilde, axis=1, keepdims=True)
    dZ_norm = np.multiply(dZ_tilde, gamma)
    dZ = (1. / m) / np.sqrt(sigma2 + epsilon) * (
        m * dZ_norm
        - np.sum(dZ_norm, axis=1, keepdims=True)
        - Z_norm * np.sum(dZ_norm * Z_norm, axis=1, keepdims=True))

    assert dZ.shape == dZ_tilde.shape
    return dZ, dgamma, dbeta
