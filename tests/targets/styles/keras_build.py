import numpy as np


class BatchNormalization:
    def __init__(self, axis=-1, momentum=0.99, epsilon=0.001, center=True, scale=True):
        self.axis = axis
        self.momentum = momentum
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        self.built = False
        self.weights = {}

    def build(self, input_shape):
        dim = input_shape[self.axis]
        self.reduction_axes = list(range(len(input_shape)))
        del self.reduction_axes[self.axis]
        self.reduction_axes = tuple(self.reduction_axes)
        self.weights["gamma"] = np.ones(dim)
        self.weights["beta"] = np.zeros(dim)
        self.weights["moving_mean"] = np.zeros(dim)
        self.weights["moving_variance"] = np.ones(dim)
        self.built = True

    def __call__(self, inputs, training=False):
        if not self.built:
            self.build(list(inputs.shape))
        return self.call(inputs, training)

    def call(self, inputs, training):
        w = self.weights
        if training:
            mean = inputs.mean(axis=self.reduction_axes)
            variance = inputs.var(axis=self.reduction_axes)
            w["moving_mean"] = w["moving_mean"] * self.momentum + mean
            w["moving_variance"] = w["moving_variance"] * self.momentum + variance
        else:
            mean, variance = w["moving_mean"], w["moving_variance"]
        self.inv = 1.0 / np.sqrt(variance + self.epsilon)
        self.norm = (inputs - mean) * self.inv
        outputs = self.norm
        if self.scale:
            outputs = outputs * w["gamma"]
        if self.center:
            outputs = outputs + w["beta"]
        return outputs

    def compute_gradients(self, grads):
        ax = self.reduction_axes
        self.gradients = {"gamma": (grads * self.norm).sum(axis=ax), "beta": grads.sum(axis=ax)}
        if self.scale:
            grads = grads * self.weights["gamma"]
        return self.inv * (grads - grads.mean(axis=ax) - self.norm * (grads * self.norm).mean(axis=ax))
