import numpy as np


class Normalizer(object):
    """P[0] holds the scale and P[1] the shift, dP likewise."""

    def __init__(self, width):
        self.P = np.vstack([np.ones(width), np.zeros(width)])
        self.dP = np.zeros((2, width))
        self.eps = 1e-3
        self.M = np.vstack([np.zeros(width), np.ones(width)])  # running mean, running variance

    def fprop(self, A, train=True):
        if train:
            mu, s2 = A.mean(axis=0), A.var(axis=0)
            self.M = 0.9 * self.M + 0.1 * np.vstack([mu, s2])
        else:
            mu, s2 = self.M
        self.A, self.mu, self.s2 = A, mu, s2
        self.H = (A - mu) / np.sqrt(s2 + self.eps)
        return self.P[0] * self.H + self.P[1]

    def bprop(self, dO):
        n = dO.shape[0]
        self.dP[0] = np.sum(dO * self.H, axis=0)
        self.dP[1] = np.sum(dO, axis=0)
        dH = dO * self.P[0]
        sig = np.sqrt(self.s2)
        C = self.A - self.mu
        dS2 = np.sum(dH * C, axis=0) * -.5 / sig**3
        dMu = -np.sum(dH, axis=0) / sig
        return dH / sig + dS2 * 2. * C / n + dMu / n
