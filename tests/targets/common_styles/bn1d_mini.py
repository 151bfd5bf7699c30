import numpy as np


class BatchNorm:
    """Batch norm for fully connected layers, part of a tiny numpy net."""

    def __init__(self, in_dim, eps=1e-5, decay=0.9):
        self.W = np.ones((1, in_dim))
        self.b = np.zeros((1, in_dim))
        self.dW = None
        self.db = None
        self.eps = eps
        self.decay = decay
        self.mu_avg = np.zeros((1, in_dim))
        self.var_avg = np.ones((1, in_dim))
        self.is_train = True

    def set_mode(self, train):
        self.is_train = train

    def forward(self, x):
        if not self.is_train:
            x_hat = (x - self.mu_avg) / np.sqrt(self.var_avg + self.eps)
            return x_hat * self.W + self.b

        mu = np.mean(x, axis=0, keepdims=True)
        var = np.var(x, axis=0, keepdims=True)
        self.inv_std = 1. / np.sqrt(var + self.eps)
        self.x_hat = (x - mu) * self.inv_std

        self.mu_avg = self.decay * self.mu_avg + (1 - self.decay) * mu
        self.var_avg = self.decay * self.var_avg + (1 - self.decay) * var
        return self.x_hat * self.W + self.b

    def backward(self, grad):
        self.dW = np.sum(grad * self.x_hat, axis=0, keepdims=True)
        self.db = np.sum(grad, axis=0, keepdims=True)
        g = grad * self.W
        proj = np.mean(g * self.x_hat, axis=0, keepdims=True)
        return self.inv_std * (g - self.x_hat * proj)

    def get_params(self):
        return [self.W, self.b]

    def get_grads(self):
        return [self.dW, self.db]
