"""A class in the manner of torch, for images, in NumPy: train() and eval(), running statistics, gradients kept."""

import numpy as np


class BatchNorm2d:
    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1):
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.weight = np.ones(num_features)
        self.bias = np.zeros(num_features)
        self.weight_grad = None
        self.bias_grad = None
        self.running_mean = np.zeros(num_features)
        self.running_var = np.ones(num_features)
        self.training = True

    def train(self):
        self.training = True

    def eval(self):
        self.training = False

    def __call__(self, x):
        return self.forward(x)

    def forward(self, x):
        shape = (1, self.num_features, 1, 1)
        if self.training:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
            m = x.size // self.num_features
            self.running_mean += self.momentum * (mean - self.running_mean)
            self.running_var += self.momentum * (var * m / (m - 1) - self.running_var)
        else:
            mean, var = self.running_mean, self.running_var
        self.inv_std = 1 / np.sqrt(var + self.eps).reshape(shape)
        self.x_hat = (x - mean.reshape(shape)) * self.inv_std
        return self.weight.reshape(shape) * self.x_hat + self.bias.reshape(shape)

    def backward(self, grad_output):
        self.weight_grad = np.sum(grad_output * self.x_hat, axis=(0, 2, 3))
        self.bias_grad = np.sum(grad_output, axis=(0, 2, 3))
        g = grad_output * self.weight.reshape(1, -1, 1, 1)
        if not self.training:
            return self.inv_std * g
        mean = g.mean((0, 2, 3), keepdims=True)
        along = (g * self.x_hat).mean((0, 2, 3), keepdims=True)
        return self.inv_std * (g - mean - self.x_hat * along)
