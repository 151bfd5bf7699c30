"""A home-made framework's layer for images: parameters in a dictionary, gradients in another, a train switch."""

import numpy as np


class BatchNorm2d:
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        self.eps, self.momentum = eps, momentum
        self.params = {"gamma": np.ones(num_features), "beta": np.zeros(num_features)}
        self.grads = {}
        self.running_mean = np.zeros(num_features)
        self.running_var = np.ones(num_features)
        self.training = True

    def forward(self, x):
        gamma = self.params["gamma"].reshape(1, -1, 1, 1)
        beta = self.params["beta"].reshape(1, -1, 1, 1)
        if not self.training:
            mean = self.running_mean.reshape(1, -1, 1, 1)
            return gamma * (x - mean) / np.sqrt(self.running_var.reshape(1, -1, 1, 1) + self.eps) + beta
        mean = x.mean(axis=(0, 2, 3))
        var = x.var(axis=(0, 2, 3))
        self.running_mean = self.running_mean + self.momentum * (mean - self.running_mean)
        self.running_var = self.running_var + self.momentum * (var - self.running_var)
        self.inv_std = 1 / np.sqrt(var + self.eps).reshape(1, -1, 1, 1)
        self.x_hat = (x - mean.reshape(1, -1, 1, 1)) * self.inv_std
        return gamma * self.x_hat + beta

    def backward(self, dy):
        count = dy.size / dy.shape[1]
        gamma = self.params["gamma"].reshape(1, -1, 1, 1)
        dbeta = dy.sum(axis=(0, 2, 3), keepdims=True)
        dgamma = np.sum(dy * self.x_hat, axis=(0, 2, 3), keepdims=True)
        self.grads["gamma"] = dgamma.ravel()
        self.grads["beta"] = dbeta.ravel()
        return gamma * self.inv_std * (dy - (dbeta + self.x_hat * dgamma) / count)
