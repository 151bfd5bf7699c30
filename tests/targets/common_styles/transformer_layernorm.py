import numpy as np


class LayerNormalization():
    """
    Applies layer normalization to the last dimension
    ---------------
        Args:
            `normalized_shape` (int): size of the last dimension
            `epsilon` (float): added inside of the square root
        Returns:
            output: (batch_size, seq_len, d_model)
    """

    def __init__(self, normalized_shape, epsilon=0.001, data_type=np.float64):
        self.normalized_shape = normalized_shape
        self.epsilon = epsilon
        self.data_type = data_type
        self.build()

    def build(self):
        self.gamma = np.ones(self.normalized_shape).astype(self.data_type)
        self.beta = np.zeros(self.normalized_shape).astype(self.data_type)
        self.optimizer = None

    def set_optimizer(self, optimizer):
        self.optimizer = optimizer

    def forward(self, X):
        self.input_data = X
        self.mean = np.mean(X, axis=-1, keepdims=True)
        self.var = np.var(X, axis=-1, keepdims=True)
        self.X_centered = X - self.mean
        self.stddev_inv = 1 / np.sqrt(self.var + self.epsilon)
        self.normalized = self.X_centered * self.stddev_inv
        self.output_data = self.gamma * self.normalized + self.beta
        return self.output_data

    def backward(self, error):
        self.grad_gamma = np.sum(error * self.normalized, axis=tuple(range(error.ndim - 1)))
        self.grad_beta = np.sum(error, axis=tuple(range(error.ndim - 1)))

        D = self.normalized_shape
        output_error = (1 / D) * self.stddev_inv * (
            D * error
            - np.sum(error, axis=-1, keepdims=True)
            - self.X_centered * np.power(self.stddev_inv, 2) * np.sum(error * self.X_centered, axis=-1, keepdims=True)
        )
        return output_error

    def update_weights(self, lr):
        self.gamma = self.gamma - lr * self.grad_gamma
        self.beta = self.beta - lr * self.grad_beta
