import numpy as np


class BatchNorm:
    """is_test tells whether the layer is used for prediction."""

    def __init__(self, dims, decay=0.9):
        self.dims = dims
        self.decay = decay
        self.g = np.random.normal(1.0, 0.02, dims)
        self.b = np.zeros(dims)
        self.mu_run = np.zeros(dims)
        self.var_run = np.ones(dims)

    def forward(self, x, is_test):
        mu = x.mean(axis=0)
        var = x.var(axis=0)
        if not is_test:
            self.mu_run = self.decay * self.mu_run + (1 - self.decay) * mu
            self.var_run = self.decay * self.var_run + (1 - self.decay) * var
        self.ivar = 1.0 / np.sqrt(var + 1e-5)
        self.xn = (x - mu) * self.ivar
        return self.g * self.xn + self.b

    def backward(self, dy):
        m = dy.shape[0]
        self.gg = (dy * self.xn).sum(axis=0)
        self.gb = dy.sum(axis=0)
        dxn = dy * self.g
        return self.ivar / m * (m * dxn - dxn.sum(axis=0) - self.xn * (dxn * self.xn).sum(axis=0))
