import numpy as np


class Layer(object):
    def __init__(self):
        self.params = {}
        self.grads = {}
        self.cache = {}

    def forward(self, X):
        raise NotImplementedError

    def backward(self, dY):
        raise NotImplementedError


class InstanceNorm(Layer):
    """Instance normalization for style transfer nets, input is (N, C, H, W)."""

    def __init__(self, channels, affine=True, epsilon=1e-5):
        super(InstanceNorm, self).__init__()
        self.affine = affine
        self.epsilon = epsilon
        if affine:
            self.params['scale'] = np.ones((1, channels, 1, 1))
            self.params['shift'] = np.zeros((1, channels, 1, 1))

    def forward(self, X):
        mu = np.mean(X, axis=(2, 3), keepdims=True)
        sigma2 = np.mean((X - mu) ** 2, axis=(2, 3), keepdims=True)
        inv_sigma = 1.0 / np.sqrt(sigma2 + self.epsilon)
        Xn = (X - mu) * inv_sigma
        self.cache = dict(Xn=Xn, inv_sigma=inv_sigma)
        if not self.affine:
            return Xn
        return self.params['scale'] * Xn + self.params['shift']

    def backward(self, dY):
        Xn = self.cache['Xn']
        inv_sigma = self.cache['inv_sigma']
        M = dY.shape[2] * dY.shape[3]

        if self.affine:
            self.grads['scale'] = np.sum(dY * Xn, axis=(0, 2, 3), keepdims=True)
            self.grads['shift'] = np.sum(dY, axis=(0, 2, 3), keepdims=True)
            dXn = dY * self.params['scale']
        else:
            dXn = dY

        s1 = np.sum(dXn, axis=(2, 3), keepdims=True)
        s2 = np.sum(dXn * Xn, axis=(2, 3), keepdims=True)
        return inv_sigma / M * (M * dXn - s1 - Xn * s2)
