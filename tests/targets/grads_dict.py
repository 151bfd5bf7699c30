"""A class of a home-made framework: parameters and gradients in dictionaries, everything of shape (1, D)."""

import numpy as np


class Layer:
    def forward(self, x):
        raise NotImplementedError

    def backward(self, grad):
        raise NotImplementedError


class ReLU(Layer):
    def forward(self, x):
        self.mask = x > 0
        return x * self.mask

    def backward(self, grad):
        return grad * self.mask


class BatchNorm1d(Layer):
    def __init__(self, num_features, epsilon=1e-3, momentum=0.99):
        self.params = {"gamma": np.ones((1, num_features)), "beta": np.zeros((1, num_features))}
        self.grads = {}
        self.epsilon, self.momentum = epsilon, momentum
        self.moving_mean = np.zeros((1, num_features))
        self.moving_variance = np.ones((1, num_features))

    def forward(self, x, training=True):
        if not training:
            x_hat = (x - self.moving_mean) / np.sqrt(self.moving_variance + self.epsilon)
            return self.params["gamma"] * x_hat + self.params["beta"]
        mean, var = x.mean(0, keepdims=True), x.var(0, keepdims=True)
        unbiased = var * len(x) / (len(x) - 1)
        self.moving_mean = self.momentum * self.moving_mean + (1 - self.momentum) * mean
        self.moving_variance = self.momentum * self.moving_variance + (1 - self.momentum) * unbiased
        self.inv_std = 1 / np.sqrt(var + self.epsilon)
        self.x_hat = (x - mean) * self.inv_std
        return self.params["gamma"] * self.x_hat + self.params["beta"]

    def backward(self, grad):
        self.grads["gamma"] = (grad * self.x_hat).sum(0, keepdims=True)
        self.grads["beta"] = grad.sum(0, keepdims=True)
        g = grad * self.params["gamma"]
        return self.inv_std * (g - g.mean(0) - self.x_hat * (g * self.x_hat).mean(0))
