import numpy as np

from ..core import Layer


class BatchNorm1D(Layer):
    def __init__(self, n_in, eps=1e-5, rho=0.99):
        super().__init__()
        self.eps = eps
        self.rho = rho
        self.g = self.register("g", np.ones(n_in))
        self.b = self.register("b", np.zeros(n_in))
        self.mean_hat = np.zeros(n_in)
        self.var_hat = np.ones(n_in)

    def forward(self, x):
        if self.is_train:
            mean, var = x.mean(axis=0), x.var(axis=0)
            self.mean_hat = self.rho * self.mean_hat + (1 - self.rho) * mean
            self.var_hat = self.rho * self.var_hat + (1 - self.rho) * var
        else:
            mean, var = self.mean_hat, self.var_hat
        self.istd = (var + self.eps) ** -0.5
        self.xn = (x - mean) * self.istd
        return self.g.value * self.xn + self.b.value

    def backward(self, dy):
        self.g.grad = (dy * self.xn).sum(axis=0)
        self.b.grad = dy.sum(axis=0)
        m = len(dy)
        return self.g.value * self.istd * (dy - (self.b.grad + self.xn * self.g.grad) / m)
