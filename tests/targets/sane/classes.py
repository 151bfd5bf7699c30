"""Right layers as classes: running statistics, gradients that add up, buffers of their own, channels last."""

import numpy as np


class BatchNormInPlace:
    """Works in buffers of its own."""

    def __init__(self, num_features, eps=1e-5):
        self.gamma, self.beta, self.eps = np.ones(num_features), np.zeros(num_features), eps

    def forward(self, x):
        self.xhat = x - x.mean(0)
        self.inv = 1 / np.sqrt(np.einsum("nc,nc->c", self.xhat, self.xhat) / len(x) + self.eps)
        self.xhat *= self.inv
        out = self.xhat * self.gamma
        out += self.beta
        return out

    def backward(self, dout):
        self.dgamma, self.dbeta = np.einsum("nc,nc->c", dout, self.xhat), dout.sum(0)
        dx = self.xhat * (-self.dgamma / len(dout))
        dx += dout
        dx -= self.dbeta / len(dout)
        dx *= self.gamma * self.inv
        return dx


class BatchNormOfOutput:
    """Keeps what it answered, before β, and finds x̂ from that, unless γ is zero."""

    def __init__(self, num_features, eps=1e-5):
        self.gamma, self.beta, self.eps = np.ones(num_features), np.zeros(num_features), eps

    def forward(self, x):
        self.x = x
        self.inv = 1 / np.sqrt(x.var(0) + self.eps)
        self.mean = x.mean(0)
        self.scaled = (x - self.mean) * self.inv * self.gamma
        return self.scaled + self.beta

    def backward(self, dout):
        safe = np.abs(self.gamma) > 1e-4
        found = self.scaled / np.where(safe, self.gamma, 1)
        xhat = np.where(safe, found, (self.x - self.mean) * self.inv)
        self.dgamma, self.dbeta = (dout * xhat).sum(0), dout.sum(0)
        return self.gamma * self.inv * (dout - self.dbeta / len(dout) - xhat * self.dgamma / len(dout))


class BatchNormAccumulating:
    """The gradients of γ and β add up until they are cleared."""

    def __init__(self, num_features, eps=1e-5):
        self.gamma, self.beta, self.eps = np.ones(num_features), np.zeros(num_features), eps
        self.zero_grad()

    def zero_grad(self):
        self.dgamma, self.dbeta = np.zeros_like(self.gamma), np.zeros_like(self.beta)

    def forward(self, x):
        self.std = np.sqrt(x.var(0) + self.eps)
        self.xhat = (x - x.mean(0)) / self.std
        return self.gamma * self.xhat + self.beta

    def backward(self, dout):
        self.dgamma = self.dgamma + (dout * self.xhat).sum(0)
        self.dbeta = self.dbeta + dout.sum(0)
        g = self.gamma * dout
        return (g - g.mean(0) - self.xhat * (g * self.xhat).mean(0)) / self.std


class BatchNormChannelsLast:
    """(N, H, W, C)."""

    def __init__(self, channels, eps=1e-5):
        self.gamma, self.beta, self.eps = np.ones(channels), np.zeros(channels), eps

    def forward(self, x):
        self.rows = x.reshape(-1, x.shape[-1])
        self.std = np.sqrt(self.rows.var(0) + self.eps)
        self.xhat = (self.rows - self.rows.mean(0)) / self.std
        return (self.gamma * self.xhat + self.beta).reshape(x.shape)

    def backward(self, dout):
        g = dout.reshape(-1, dout.shape[-1])
        self.dgamma, self.dbeta = (g * self.xhat).sum(0), g.sum(0)
        dx = self.gamma / self.std * (g - (self.dbeta + self.xhat * self.dgamma) / len(g))
        return dx.reshape(dout.shape)


class BatchNormRunning:
    """With running statistics, and an evaluation whose backward is that of constants."""

    def __init__(self, num_features, eps=1e-5, momentum=0.9):
        self.gamma, self.beta, self.eps, self.momentum = np.ones(num_features), np.zeros(num_features), eps, momentum
        self.running_mean, self.running_var = np.zeros(num_features), np.ones(num_features)
        self.training = True

    def forward(self, x):
        mean, var = (x.mean(0), x.var(0)) if self.training else (self.running_mean, self.running_var)
        if self.training:
            self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * mean
            self.running_var = self.momentum * self.running_var + (1 - self.momentum) * var
        self.std = np.sqrt(var + self.eps)
        self.xhat = (x - mean) / self.std
        return self.gamma * self.xhat + self.beta

    def backward(self, dout):
        self.dgamma, self.dbeta = (dout * self.xhat).sum(0), dout.sum(0)
        g = self.gamma * dout
        if not self.training:
            return g / self.std
        return (g - g.mean(0) - self.xhat * (g * self.xhat).mean(0)) / self.std


class BatchNormLateEvaluation:
    """Its evaluation is a method of its own, and its backward always that of training."""

    def __init__(self, num_features, eps=1e-5):
        self.gamma, self.beta, self.eps = np.ones(num_features), np.zeros(num_features), eps
        self.running_mean, self.running_var = np.zeros(num_features), np.ones(num_features)

    def forward(self, x, training=True):
        if not training:
            return self.gamma * (x - self.running_mean) / np.sqrt(self.running_var + self.eps) + self.beta
        mean, var = x.mean(0), x.var(0)
        self.running_mean = 0.9 * self.running_mean + 0.1 * mean
        self.running_var = 0.9 * self.running_var + 0.1 * var * len(x) / max(len(x) - 1, 1)
        self.std = np.sqrt(var + self.eps)
        self.xhat = (x - mean) / self.std
        return self.gamma * self.xhat + self.beta

    def backward(self, dout):
        self.dgamma, self.dbeta = (dout * self.xhat).sum(0), dout.sum(0)
        return self.gamma / self.std * (dout - (self.dbeta + self.xhat * self.dgamma) / len(dout))


class LayerNormLazy:
    """Makes its parameters when it sees the first input."""

    def __init__(self, eps=1e-5):
        self.eps, self.gamma, self.beta = eps, None, None

    def forward(self, x):
        if self.gamma is None:
            self.gamma, self.beta = np.ones(x.shape[-1]), np.zeros(x.shape[-1])
        self.rstd = 1 / np.sqrt(x.var(-1, keepdims=True) + self.eps)
        self.xhat = (x - x.mean(-1, keepdims=True)) * self.rstd
        return self.gamma * self.xhat + self.beta

    def backward(self, dout):
        axes = tuple(range(dout.ndim - 1))
        self.dgamma, self.dbeta = (dout * self.xhat).sum(axes), dout.sum(axes)
        g = self.gamma * dout
        mean = lambda a: a.mean(-1, keepdims=True)
        return self.rstd * (g - mean(g) - self.xhat * mean(g * self.xhat))


class RMSNormRecomputed:
    def __init__(self, dim, eps=1e-6):
        self.weight, self.eps = np.ones(dim), eps

    def forward(self, x):
        self.x = x
        return self.weight * x / np.sqrt((x**2).mean(-1, keepdims=True) + self.eps)

    def backward(self, dout):
        inv = 1 / np.sqrt((self.x**2).mean(-1, keepdims=True) + self.eps)
        xhat = self.x * inv
        self.dweight = (dout * xhat).reshape(-1, dout.shape[-1]).sum(0)
        g = dout * self.weight
        return inv * (g - xhat * (g * xhat).mean(-1, keepdims=True))
