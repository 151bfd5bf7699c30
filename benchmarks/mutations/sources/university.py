"""A university's class: capital letters, derivatives called dLd…, the batch size kept, columns of ones."""

import numpy as np


class BatchNorm1d:
    def __init__(self, num_features, alpha=0.9):
        self.alpha = alpha
        self.eps = 1e-8
        self.gamma = np.ones((1, num_features))
        self.beta = np.zeros((1, num_features))
        self.dLdgamma = np.zeros((1, num_features))
        self.dLdbeta = np.zeros((1, num_features))
        self.running_mean = np.zeros((1, num_features))
        self.running_var = np.ones((1, num_features))

    def forward(self, Z, training=True):
        if training is False:
            NZ = (Z - self.running_mean) / np.sqrt(self.running_var + self.eps)
            return self.gamma * NZ + self.beta
        self.Z = Z
        self.N = self.Z.shape[0]
        self.M = np.sum(self.Z, axis=0, keepdims=True) / self.N
        self.V = np.sum((self.Z - self.M) ** 2, axis=0, keepdims=True) / self.N
        self.NZ = (self.Z - self.M) / np.sqrt(self.V + self.eps)
        self.running_mean = self.alpha * self.running_mean + (1 - self.alpha) * self.M
        self.running_var = self.alpha * self.running_var + (1 - self.alpha) * self.V
        BZ = self.gamma * self.NZ + self.beta
        return BZ

    def backward(self, dLdBZ):
        self.dLdgamma = np.sum(dLdBZ * self.NZ, axis=0, keepdims=True)
        self.dLdbeta = np.sum(dLdBZ, axis=0, keepdims=True)
        dLdNZ = dLdBZ * self.gamma
        dLdV = -0.5 * np.sum(dLdNZ * (self.Z - self.M) * (self.V + self.eps) ** (-3 / 2), axis=0, keepdims=True)
        dNZdM = -((self.V + self.eps) ** (-1 / 2))
        dLdM = np.sum(dLdNZ * dNZdM, axis=0, keepdims=True)
        dLdZ = dLdNZ * (self.V + self.eps) ** (-1 / 2) + dLdV * (2 / self.N) * (self.Z - self.M) + dLdM / self.N
        return dLdZ
