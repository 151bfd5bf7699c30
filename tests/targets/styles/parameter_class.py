import numpy as np


class Parameter:
    def __init__(self, data):
        self.data = np.asarray(data, dtype=float)
        self.grad = np.zeros_like(self.data)

    def zero_grad(self):
        self.grad[...] = 0.0


class Module:
    def parameters(self):
        for value in self.__dict__.values():
            if isinstance(value, Parameter):
                yield value
            elif isinstance(value, Module):
                yield from value.parameters()

    def zero_grad(self):
        for p in self.parameters():
            p.zero_grad()

    def __call__(self, *args, **kwargs):
        return self.forward(*args, **kwargs)


class BatchNorm(Module):
    def __init__(self, dim, eps=1e-5, momentum=0.1):
        self.weight = Parameter(np.ones(dim))
        self.bias = Parameter(np.zeros(dim))
        self.eps = eps
        self.momentum = momentum
        self.running_mean = np.zeros(dim)
        self.running_var = np.ones(dim)
        self.training = True

    def forward(self, inputs):
        if self.training:
            mean, var = inputs.mean(0), inputs.var(0)
            n = len(inputs)
            self.running_mean += self.momentum * (mean - self.running_mean)
            self.running_var += self.momentum * (var * n / (n - 1) - self.running_var)
        else:
            mean, var = self.running_mean, self.running_var
        self._inv_std = 1 / np.sqrt(var + self.eps)
        self._normed = (inputs - mean) * self._inv_std
        self._batch = self.training
        return self.weight.data * self._normed + self.bias.data

    def backward(self, grad):
        # gradients accumulate until zero_grad
        self.weight.grad += (grad * self._normed).sum(0)
        self.bias.grad += grad.sum(0)
        g = grad * self.weight.data
        if self._batch:
            g = g - g.mean(0) - self._normed * (g * self._normed).mean(0)
        return g * self._inv_std
