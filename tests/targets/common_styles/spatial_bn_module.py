import numpy as np


class Parameter:
    def __init__(self, data):
        self.data = np.asarray(data)
        self.grad = np.zeros_like(self.data)

    def zero_grad(self):
        self.grad[...] = 0


class Module:
    def __init__(self):
        self.training = True

    def train(self, mode=True):
        self.training = mode
        return self

    def eval(self):
        return self.train(False)

    def parameters(self):
        return [v for v in self.__dict__.values() if isinstance(v, Parameter)]

    def zero_grad(self):
        for p in self.parameters():
            p.zero_grad()

    def __call__(self, *args):
        return self.forward(*args)


class BatchNorm2d(Module):
    """Batch normalization over a 4D input (N, C, H, W)."""

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.weight = Parameter(np.ones(num_features))
        self.bias = Parameter(np.zeros(num_features))
        self.running_mean = np.zeros(num_features)
        self.running_var = np.ones(num_features)

    def forward(self, x):
        if self.training:
            mean = x.mean(axis=(0, 2, 3))
            var = x.var(axis=(0, 2, 3))
            n = x.size // self.num_features
            self.running_mean += self.momentum * (mean - self.running_mean)
            self.running_var += self.momentum * (var * n / (n - 1) - self.running_var)
        else:
            mean, var = self.running_mean, self.running_var
        self._inv_std = 1.0 / np.sqrt(var + self.eps)
        self._x_hat = (x - mean[:, None, None]) * self._inv_std[:, None, None]
        return self.weight.data[:, None, None] * self._x_hat + self.bias.data[:, None, None]

    def backward(self, grad_out):
        self.weight.grad += np.einsum("nchw,nchw->c", grad_out, self._x_hat)
        self.bias.grad += np.einsum("nchw->c", grad_out)
        g = grad_out * self.weight.data[:, None, None]
        if not self.training:
            return g * self._inv_std[:, None, None]
        axes = (0, 2, 3)
        g_mean = g.mean(axis=axes, keepdims=True)
        gx_mean = (g * self._x_hat).mean(axis=axes, keepdims=True)
        return self._inv_std[:, None, None] * (g - g_mean - self._x_hat * gx_mean)
