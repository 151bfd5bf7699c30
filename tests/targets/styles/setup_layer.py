import numpy as np


class BatchNormalization:
    def __init__(self, momentum=0.9, eps=1e-5):
        self.momentum = momentum
        self.eps = eps
        self.gamma = None
        self.beta = None

    def _setup(self, inputs):
        n = inputs.shape[1]
        if self.gamma is None or self.beta is None:
            self.gamma = np.ones(n)
            self.beta = np.zeros(n)
        self.running_mean = np.zeros(n)
        self.running_var = np.ones(n)

    def forward(self, inputs, train=True):
        if train:
            self._setup(inputs)
            mean = inputs.mean(axis=0)
            var = inputs.var(axis=0)
            self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * mean
            self.running_var = self.momentum * self.running_var + (1 - self.momentum) * var
        else:
            mean, var = self.running_mean, self.running_var
        self.std = np.sqrt(var + self.eps)
        self.normalized = (inputs - mean) / self.std
        return self.normalized * self.gamma + self.beta

    def backward(self, grad):
        self.gamma_grad = (grad * self.normalized).sum(axis=0)
        self.beta_grad = grad.sum(axis=0)
        n = grad.shape[0]
        return self.gamma / self.std * (grad - self.beta_grad / n - self.normalized * self.gamma_grad / n)
