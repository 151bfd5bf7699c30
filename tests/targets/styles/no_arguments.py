import numpy as np


class LayerNorm:
    eps = 1e-5

    def __init__(self):
        self.weight = self.bias = None
        self.cache = None

    def __call__(self, x):
        if self.weight is None:
            self.weight = np.ones(x.shape[-1])
            self.bias = np.zeros(x.shape[-1])
        mu = x.mean(-1, keepdims=True)
        rs = 1 / np.sqrt(x.var(-1, keepdims=True) + self.eps)
        z = (x - mu) * rs
        if self.cache is None or self.cache[0].shape != x.shape:
            self.cache = z, rs
        return z * self.weight + self.bias

    def grad(self, upstream):
        z, rs = self.cache
        flat = upstream.reshape(-1, upstream.shape[-1])
        self.weight_grad = (flat * z.reshape(flat.shape)).sum(0)
        self.bias_grad = flat.sum(0)
        u = upstream * self.weight
        return rs * (u - u.mean(-1, keepdims=True) - z * (u * z).mean(-1, keepdims=True))
