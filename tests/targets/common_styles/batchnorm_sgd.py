import numpy as np


class BatchNormLayer:
    # Same interface as the Dense layer: forward(input) / backward(output_gradient, learning_rate)

    def __init__(self, size, epsilon=1e-5, momentum=0.9):
        self.gamma = np.ones(size)
        self.beta = np.zeros(size)
        self.epsilon = epsilon
        self.momentum = momentum
        self.global_mean = np.zeros(size)
        self.global_var = np.ones(size)
        self.training = True

    def forward(self, input):
        if not self.training:
            normalized = (input - self.global_mean) / np.sqrt(self.global_var + self.epsilon)
            return self.gamma * normalized + self.beta

        mean = np.mean(input, axis=0)
        var = np.var(input, axis=0)
        self.global_mean = self.momentum * self.global_mean + (1 - self.momentum) * mean
        self.global_var = self.momentum * self.global_var + (1 - self.momentum) * var
        self.std = np.sqrt(var + self.epsilon)
        self.normalized = (input - mean) / self.std
        return self.gamma * self.normalized + self.beta

    def backward(self, output_gradient, learning_rate):
        gamma_gradient = np.sum(output_gradient * self.normalized, axis=0)
        beta_gradient = np.sum(output_gradient, axis=0)

        # update parameters
        self.gamma -= learning_rate * gamma_gradient
        self.beta -= learning_rate * beta_gradient

        # gradient with respect to the input, passed to the previous layer
        d_norm = output_gradient * self.gamma
        return (
            d_norm
            - np.mean(d_norm, axis=0)
            - self.normalized * np.mean(d_norm * self.normalized, axis=0)
        ) / self.std
