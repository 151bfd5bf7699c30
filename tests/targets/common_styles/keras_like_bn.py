import numpy as np


class BatchNormalization:
    """Keras like layer, channels last: (batch, rows, cols, channels)."""

    def __init__(self, momentum=0.99, epsilon=1e-3, name="batch_normalization"):
        self.momentum = momentum
        self.epsilon = epsilon
        self.name = name
        self.built = False

    def build(self, input_shape):
        dim = input_shape[-1]
        self.gamma = np.ones(dim)
        self.beta = np.zeros(dim)
        self.moving_mean = np.zeros(dim)
        self.moving_variance = np.ones(dim)
        self.built = True

    def __call__(self, inputs, training=False):
        if not self.built:
            self.build(inputs.shape)
        return self.call(inputs, training)

    def call(self, inputs, training):
        if not training:
            return self.gamma * (inputs - self.moving_mean) / np.sqrt(
                self.moving_variance + self.epsilon) + self.beta

        self.inputs = inputs
        self.mean = np.mean(inputs, axis=(0, 1, 2))
        self.variance = np.var(inputs, axis=(0, 1, 2))
        self.normalized = (inputs - self.mean) / np.sqrt(self.variance + self.epsilon)

        self.moving_mean = self.moving_mean * self.momentum + self.mean * (1 - self.momentum)
        self.moving_variance = self.moving_variance * self.momentum + self.variance * (1 - self.momentum)
        return self.gamma * self.normalized + self.beta

    def backward(self, grads):
        axis = (0, 1, 2)
        m = np.prod(grads.shape[:-1])
        d_gamma = np.sum(grads * self.normalized, axis=axis)
        d_beta = np.sum(grads, axis=axis)

        inv_std = 1.0 / np.sqrt(self.variance)
        d_norm = grads * self.gamma
        d_inputs = inv_std * (
            d_norm
            - np.sum(d_norm, axis=axis) / m
            - self.normalized * np.sum(d_norm * self.normalized, axis=axis) / m
        )
        return d_inputs, [d_gamma, d_beta]
