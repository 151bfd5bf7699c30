import numpy as np


class Layer:
    training = True

    def train(self, flag=True):
        self.training = flag
        return self

    def eval(self):
        return self.train(False)


class BatchNorm2d(Layer):
    def __init__(self, num_features, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True):
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track = affine, track_running_stats
        self.weight = np.ones(num_features) if affine else None
        self.bias = np.zeros(num_features) if affine else None
        self.weight_grad = self.bias_grad = None
        self.running_mean = np.zeros(num_features)
        self.running_var = np.ones(num_features)
        self.num_batches_tracked = 0

    def __call__(self, x):
        self.from_batch = self.training or not self.track
        if self.from_batch:
            mean = x.mean(axis=(0, 2, 3))
            var = x.var(axis=(0, 2, 3))
            if self.track:
                n = x.size / x.shape[1]
                self.num_batches_tracked += 1
                f = self.momentum if self.momentum is not None else 1 / self.num_batches_tracked
                self.running_mean = (1 - f) * self.running_mean + f * mean
                self.running_var = (1 - f) * self.running_var + f * var * n / (n - 1)
        else:
            mean, var = self.running_mean, self.running_var
        self.invstd = 1 / np.sqrt(var + self.eps)[:, None, None]
        self.xhat = (x - mean[:, None, None]) * self.invstd
        if not self.affine:
            return self.xhat
        return self.xhat * self.weight[:, None, None] + self.bias[:, None, None]

    def backward(self, grad_output):
        g = grad_output
        if self.affine:
            self.weight_grad = (g * self.xhat).sum(axis=(0, 2, 3))
            self.bias_grad = g.sum(axis=(0, 2, 3))
            g = g * self.weight[:, None, None]
        if self.from_batch:
            g = g - g.mean(axis=(0, 2, 3), keepdims=True) - self.xhat * (g * self.xhat).mean(
                axis=(0, 2, 3), keepdims=True)
        return g * self.invstd
