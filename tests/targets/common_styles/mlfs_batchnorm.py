from __future__ import print_function, division
import copy
import numpy as np


class StochasticGradientDescent(object):
    def __init__(self, learning_rate=0.01):
        self.learning_rate = learning_rate

    def update(self, w, grad_wrt_w):
        return w - self.learning_rate * grad_wrt_w


class BatchNormalization(object):
    """Batch normalization of dense activations.

    Parameters:
    -----------
    momentum: float
        Decay of the running mean and running variance.
    """
    def __init__(self, momentum=0.99, eps=0.01, input_shape=None):
        self.momentum = momentum
        self.eps = eps
        self.input_shape = input_shape
        self.running_mean = None
        self.running_var = None

    def initialize(self, optimizer):
        self.gamma = np.ones(self.input_shape)
        self.beta = np.zeros(self.input_shape)
        # parameter optimizers
        self.gamma_opt = copy.copy(optimizer)
        self.beta_opt = copy.copy(optimizer)

    def forward_pass(self, X, training=True):
        # Initialize running mean and variance if first run
        if self.running_mean is None:
            self.running_mean = np.mean(X, axis=0)
            self.running_var = np.var(X, axis=0)

        if training:
            mean = np.mean(X, axis=0)
            var = np.var(X, axis=0)
            self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * mean
            self.running_var = self.momentum * self.running_var + (1 - self.momentum) * var
        else:
            X_norm = (X - self.running_mean) / np.sqrt(self.running_var + self.eps)
            return self.gamma * X_norm + self.beta

        # Statistics saved for backward pass
        self.X_centered = X - mean
        self.stddev_inv = 1 / np.sqrt(var + self.eps)

        X_norm = self.X_centered * self.stddev_inv
        return self.gamma * X_norm + self.beta

    def backward_pass(self, accum_grad):
        # Save parameters used during the forward pass
        gamma = self.gamma

        X_norm = self.X_centered * self.stddev_inv
        grad_gamma = np.sum(accum_grad * X_norm, axis=0)
        grad_beta = np.sum(accum_grad, axis=0)

        self.gamma = self.gamma_opt.update(self.gamma, grad_gamma)
        self.beta = self.beta_opt.update(self.beta, grad_beta)

        batch_size = accum_grad.shape[0]

        # The gradient of the loss with respect to the layer inputs (use weights and statistics from forward pass)
        return (1 / batch_size) * gamma * self.stddev_inv * (
            batch_size * accum_grad
            - np.sum(accum_grad, axis=0)
            - self.X_centered * self.stddev_inv**2 * np.sum(accum_grad * self.X_centered, axis=0)
        )
