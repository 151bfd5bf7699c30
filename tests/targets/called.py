"""Classes that are called like functions: one with a size of an odd name, one that keeps a number called G."""

import numpy as np


class BatchNorm:
    def __init__(self, layer_dim, eps=1e-7):
        self.gamma, self.beta = np.ones(layer_dim), np.zeros(layer_dim)
        self.eps = eps
        self.mode = "train"

    def __call__(self, X):
        self.s = np.sqrt(X.var(0) + self.eps)
        self.xn = (X - X.mean(0)) / self.s
        return self.gamma * self.xn + self.beta

    def backward(self, dY):
        g = dY * self.gamma
        dX = (g - g.mean(0) - self.xn * (g * self.xn).mean(0)) / self.s
        return dX, (dY * self.xn).sum(0), dY.sum(0)


class GroupNorm:
    def __init__(self, num_groups, num_channels, eps=1e-5):
        self.G = num_groups
        self.eps = eps
        self.weight, self.bias = np.ones(num_channels), np.zeros(num_channels)

    def __call__(self, x):
        N, C, H, W = x.shape
        g = x.reshape(N, self.G, -1)
        self.s = np.sqrt(g.var(2, keepdims=True) + self.eps)
        self.xn = ((g - g.mean(2, keepdims=True)) / self.s).reshape(x.shape)
        return self.weight[:, None, None] * self.xn + self.bias[:, None, None]

    def backward(self, dy):
        self.weight_gradient, self.bias_gradient = (dy * self.xn).sum((0, 2, 3)), dy.sum((0, 2, 3))
        g = (dy * self.weight[:, None, None]).reshape(len(dy), self.G, -1)
        xn = self.xn.reshape(g.shape)
        return ((g - g.mean(2, keepdims=True) - xn * (g * xn).mean(2, keepdims=True)) / self.s).reshape(dy.shape)
