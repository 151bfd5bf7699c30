import numpy as np


class BN:
    def __init__(self, dim, affine):
        self.dim, self.affine = dim, affine
        self.theta = {"weight": np.ones((dim, 1)), "bias": np.zeros((dim, 1))} if affine else {}
        self.dtheta = {}

    # x is (dim, batch)
    def forward(self, x):
        self.bs = x.shape[1]
        self.delta = x - x.mean(1, keepdims=True)
        self.inv = 1. / np.sqrt(np.square(self.delta).mean(1, keepdims=True) + 1e-5)
        y = self.delta * self.inv
        if self.affine:
            y = y * self.theta["weight"] + self.theta["bias"]
        return y

    def backward(self, gy):
        if self.affine:
            self.dtheta["weight"] = np.einsum("ij,ij->i", gy, self.delta * self.inv)[:, np.newaxis]
            self.dtheta["bias"] = gy @ np.ones((self.bs, 1))
            gy = gy * self.theta["weight"]
        dinv = (gy * self.delta).sum(1, keepdims=True)
        ddelta = gy * self.inv - dinv * self.inv**3 * self.delta / self.bs
        return ddelta - ddelta.mean(1, keepdims=True)
