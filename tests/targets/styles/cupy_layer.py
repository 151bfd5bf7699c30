import cupy as cp


class CuBatchNorm:
    def __init__(self, input_size, momentum=0.9, epsilon=1e-5):
        self.gamma = cp.ones(input_size)
        self.beta = cp.zeros(input_size)
        self.momentum = momentum
        self.epsilon = epsilon
        self.running_mean = cp.zeros(input_size)
        self.running_var = cp.ones(input_size)

    def forward(self, x, training=True):
        x = cp.asarray(x)
        if training:
            self.mu = cp.mean(x, axis=0)
            self.var = cp.var(x, axis=0)
            self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * self.mu
            self.running_var = self.momentum * self.running_var + (1 - self.momentum) * self.var
            self.xmu = x - self.mu
            self.std_inv = 1. / cp.sqrt(self.var + self.epsilon)
            return self.gamma * self.xmu * self.std_inv + self.beta
        return self.gamma * (x - self.running_mean) / cp.sqrt(self.running_var + self.epsilon) + self.beta

    def backward(self, grad):
        grad = cp.asarray(grad)
        n = grad.shape[0]
        x_norm = self.xmu * self.std_inv
        self.dbeta = cp.sum(grad, axis=0)
        self.dgamma = cp.sum(x_norm * grad, axis=0)
        dx_norm = self.gamma * grad
        dvar = cp.sum(dx_norm * self.xmu, axis=0) * -0.5 * self.std_inv ** 3
        dmu = cp.sum(-dx_norm * self.std_inv, axis=0) - 2 * dvar * cp.mean(self.xmu, axis=0)
        return dx_norm * self.std_inv + 2 * dvar * self.xmu / n + dmu / n
