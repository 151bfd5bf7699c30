"""nn.BatchNorm2d lookalike for our numpy library."""
import numpy as np


class BatchNorm2d:

    def __init__(self, num_features, eps=1e-05, momentum=0.1, affine=True):
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.training = True
        if affine:
            self.weight = np.ones(num_features)
            self.bias = np.zeros(num_features)
        self.running_mean = np.zeros(num_features)
        self.running_var = np.ones(num_features)
        self.weight_grad = None
        self.bias_grad = None

    def train(self):
        self.training = True

    def eval(self):
        self.training = False

    @staticmethod
    def _c(v):
        return v.reshape(1, -1, 1, 1)

    def __call__(self, x):
        return self.forward(x)

    def forward(self, x):
        if self.training:
            mean = x.mean((0, 2, 3))
            var = x.var((0, 2, 3))
            self.running_mean = (1 - self.momentum) * self.running_mean + self.momentum * mean
            self.running_var = self.momentum * self.running_var + (1 - self.momentum) * var
        else:
            mean = self.running_mean
            var = self.running_var
        self.std = np.sqrt(var + self.eps)
        self.xhat = (x - self._c(mean)) / self._c(self.std)
        if self.affine:
            return self._c(self.weight) * self.xhat + self._c(self.bias)
        return self.xhat

    def backward(self, dy):
        n, c, h, w = dy.shape
        if self.affine:
            self.weight_grad = (dy * self.xhat).sum((0, 2, 3))
            self.bias_grad = dy.sum((0, 2, 3))
            dy = dy * self._c(self.weight)
        if not self.training:
            return dy / self._c(self.std)
        m = n * h * w
        dx = m * dy
        dx = dx - self._c(dy.sum((0, 2, 3)))
        dx = dx - self.xhat * self._c((dy * self.xhat).sum((0, 2, 3)))
        return dx / (m * self._c(self.std))
