import numpy as np


class BatchNorm:
    """The population statistics are those of all the examples seen in training, merged batch by batch."""

    def __init__(self, n_features, eps=1e-5):
        self.eps = eps
        self.gamma = np.ones(n_features)
        self.beta = np.zeros(n_features)
        self.count = 0
        self.pop_mean = np.zeros(n_features)
        self.M2 = np.zeros(n_features)

    @property
    def pop_var(self):
        return self.M2 / max(self.count, 1)

    def _merge(self, mean, var, n):
        total = self.count + n
        delta = mean - self.pop_mean
        self.pop_mean = self.pop_mean + delta * n / total
        self.M2 = self.M2 + var * n
        self.count = total

    def forward(self, x, training=True):
        if training:
            mean, var = x.mean(0), x.var(0)
            self._merge(mean, var, len(x))
        else:
            mean, var = self.pop_mean, self.pop_var
        self.inv_std = 1 / np.sqrt(var + self.eps)
        self.x_hat = (x - mean) * self.inv_std
        return self.gamma * self.x_hat + self.beta

    def backward(self, dy):
        self.dgamma = (dy * self.x_hat).sum(0)
        self.dbeta = dy.sum(0)
        dh = dy * self.gamma
        return self.inv_std * (dh - dh.mean(0) - self.x_hat * (dh * self.x_hat).mean(0))
