"""The paper's six equations, one line each, in a class that returns all three gradients."""

import numpy as np


class BatchNorm:
    def __init__(self, dim, eps=1e-5):
        self.gamma = np.ones(dim)
        self.beta = np.zeros(dim)
        self.eps = eps

    def forward(self, x):
        self.x = x
        self.mean = x.mean(0)
        self.var = ((x - self.mean) ** 2).mean(0)
        self.x_norm = (x - self.mean) / np.sqrt(self.var + self.eps)
        return self.gamma * self.x_norm + self.beta

    def backward(self, grad):
        m = self.x.shape[0]
        x_mu = self.x - self.mean
        dx_norm = grad * self.gamma
        dvar = np.sum(dx_norm * x_mu * -0.5 * (self.var + self.eps) ** -1.5, axis=0)
        dmean = np.sum(dx_norm * -1 / np.sqrt(self.var + self.eps), axis=0) + dvar * np.mean(-2 * x_mu, axis=0)
        dx = dx_norm / np.sqrt(self.var + self.eps) + dvar * 2 * x_mu / m + dmean / m
        dgamma = np.sum(grad * self.x_norm, axis=0)
        dbeta = np.sum(grad, axis=0)
        return dx, dgamma, dbeta
