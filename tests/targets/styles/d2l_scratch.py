"""Following chapter 8.5 of Dive into Deep Learning, without an autograd library."""
import numpy as np


def batch_norm(X, gamma, beta, moving_mean, moving_var, eps, momentum, is_training):
    if not is_training:
        # In prediction mode, use mean and variance obtained by moving average
        X_hat = (X - moving_mean) / np.sqrt(moving_var + eps)
        cache = None
    else:
        assert len(X.shape) in (2, 4)
        axes = 0 if len(X.shape) == 2 else (0, 2, 3)
        mean = X.mean(axis=axes, keepdims=True)
        var = ((X - mean) ** 2).mean(axis=axes, keepdims=True)
        X_hat = (X - mean) / np.sqrt(var + eps)
        # Update the mean and variance using moving average
        moving_mean = (1.0 - momentum) * moving_mean + momentum * mean
        moving_var = (1.0 - momentum) * moving_var + momentum * var
        cache = (X_hat, var, axes)
    Y = gamma * X_hat + beta  # Scale and shift
    return Y, moving_mean, moving_var, cache


class BatchNorm:
    # `num_features`: the number of outputs for a fully connected layer
    # or the number of output channels for a convolutional layer. `num_dims`:
    # 2 for a fully connected layer and 4 for a convolutional layer
    def __init__(self, num_features, num_dims):
        if num_dims == 2:
            shape = (1, num_features)
        else:
            shape = (1, num_features, 1, 1)
        self.gamma = np.ones(shape)
        self.beta = np.zeros(shape)
        self.moving_mean = np.zeros(shape)
        self.moving_var = np.ones(shape)
        self.training = True

    def __call__(self, X):
        Y, self.moving_mean, self.moving_var, self.cache = batch_norm(
            X, self.gamma, self.beta, self.moving_mean, self.moving_var, eps=1e-5, momentum=0.1,
            is_training=self.training)
        return Y

    def backward(self, dY):
        X_hat, var, axes = self.cache
        m = X_hat.size / var.size
        self.dbeta = dY.sum(axis=axes, keepdims=True)
        self.dgamma = (dY * X_hat).sum(axis=axes, keepdims=True)
        return self.gamma / np.sqrt(var + 1e-5) * (dY - (self.dbeta + X_hat * self.dgamma) / m)
