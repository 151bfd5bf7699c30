"""Instance norm on spectrogram stacks, (C, T, N): channel, time, clip."""
import numpy as np


class ClipNorm:
    def __init__(self, C, eps=1e-5):
        self.A = np.ones((C, 1, 1))
        self.B = np.zeros((C, 1, 1))
        self.eps = eps

    def fwd(self, X):
        T = X.shape[1]
        M = X.sum(1, keepdims=True) / T
        V = ((X - M) ** 2).sum(1, keepdims=True) / T
        self.R = (V + self.eps) ** -0.5
        self.Z = (X - M) * self.R
        return self.A * self.Z + self.B

    def adj(self, dY):
        T = dY.shape[1]
        self.dA = (dY * self.Z).sum((1, 2), keepdims=True)
        self.dB = dY.sum((1, 2), keepdims=True)
        dZ = self.A * dY
        dV = (dZ * self.Z).sum(1, keepdims=True) * -0.5 * self.R ** 2
        dX = dZ * self.R
        dX += 2 / T * dV * self.Z / self.R
        dX += (dZ * self.R).sum(1, keepdims=True) / T
        return dX
