"""Layers know how to propagate a signal and how to learn from an error."""
import numpy as np


def define(cls):
    """A small attrs: annotations become constructor arguments, build() the rest."""
    names = list(cls.__annotations__)

    def __init__(self, *args, **kw):
        given = dict(zip(names, args), **kw)
        for n in names:
            setattr(self, n, given[n] if n in given else getattr(cls, n))
        self.build()

    cls.__init__ = __init__
    return cls


@define
class NormLayer:
    units: int
    rate: float = 0.1           # learning rate
    inertia: float = 0.9
    eps: float = 1e-5

    def build(self):
        self.gamma, self.beta = np.ones(self.units), np.zeros(self.units)
        self.mu, self.s2 = np.zeros(self.units), np.ones(self.units)

    def propagate(self, signal, learning=True):
        if not learning:
            return self.gamma * (signal - self.mu) / np.sqrt(self.s2 + self.eps) + self.beta
        mu, s2 = signal.mean(0), signal.var(0)
        self.mu = self.inertia * self.mu + (1 - self.inertia) * mu
        self.s2 = self.inertia * self.s2 + (1 - self.inertia) * s2
        self.inv = 1 / np.sqrt(s2 + self.eps)
        self.norm = (signal - mu) * self.inv
        return self.gamma * self.norm + self.beta

    def learn(self, error):
        """Moves gamma and beta down the gradient; returns the error for the layer below."""
        self.g_gamma, self.g_beta = (error * self.norm).sum(0), error.sum(0)
        self.gamma = self.gamma - self.rate * self.g_gamma
        self.beta = self.beta - self.rate * self.g_beta
        e = error * self.gamma
        return self.inv * (e - e.mean(0) - self.norm * (e * self.norm).mean(0))
