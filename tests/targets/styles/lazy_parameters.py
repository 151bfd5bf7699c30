import numpy as np


class BatchNormalization:
    def __init__(self, momentum=0.9):
        self.gamma = None
        self.beta = None
        self.momentum = momentum
        self.mean_test = None
        self.var_test = None
        self.optim_grads = []

    def build(self, d):
        self.gamma = np.ones(d)
        self.beta = np.zeros(d)
        self.mean_test = np.zeros(d)
        self.var_test = np.ones(d)

    def forward(self, x, training):
        if self.gamma is None:
            self.build(x.shape[-1])
        if not training:
            return self.gamma * (x - self.mean_test) / np.sqrt(self.var_test + 1e-8) + self.beta
        self.mean = np.mean(x, axis=0)
        self.var = np.var(x, axis=0)
        self.mean_test = self.momentum * self.mean_test + (1 - self.momentum) * self.mean
        self.var_test = self.momentum * self.var_test + (1 - self.momentum) * self.var
        self.x = x
        self.x_norm = (x - self.mean) / np.sqrt(self.var + 1e-8)
        return self.gamma * self.x_norm + self.beta

    def backward(self, dout):
        N = dout.shape[0]
        std_inv = 1. / np.sqrt(self.var + 1e-8)
        dX_norm = dout * self.gamma
        dvar = np.sum(dX_norm * (self.x - self.mean), axis=0) * -.5 * std_inv**3
        dmu = np.sum(dX_norm * -std_inv, axis=0) + dvar * np.mean(-2. * (self.x - self.mean), axis=0)
        dX = (dX_norm * std_inv) + (dvar * 2 * (self.x - self.mean) / N) + (dmu / N)
        self.optim_grads = [np.sum(dout * self.x_norm, axis=0), np.sum(dout, axis=0)]
        return dX
