import numpy as np


def welford(rows):
    """Mean and population variance in one pass over the rows."""
    mean = np.zeros(rows.shape[1])
    m2 = np.zeros(rows.shape[1])
    for count, row in enumerate(rows, start=1):
        delta = row - mean
        mean = mean + delta / count
        m2 = m2 + delta * (row - mean)
    return mean, m2 / len(rows)


class StreamNorm:
    def __init__(self, features):
        self.features = features
        self.gamma = np.random.randn(features) * 0.1 + 1
        self.beta = np.random.randn(features) * 0.1

    def __call__(self, batch):
        mean, var = welford(batch)
        self.scale = (var + 1e-5) ** -0.5
        self.standard = (batch - mean) * self.scale
        return self.standard * self.gamma + self.beta

    def grad(self, dbatch):
        self.grad_gamma = np.zeros(self.features)
        self.grad_beta = np.zeros(self.features)
        for d, z in zip(dbatch, self.standard):
            self.grad_gamma += d * z
            self.grad_beta += d
        back = dbatch - (self.grad_beta + self.standard * self.grad_gamma) / len(dbatch)
        return back * self.gamma * self.scale
