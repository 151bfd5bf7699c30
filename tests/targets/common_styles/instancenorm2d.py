import numpy as np


class InstanceNorm2D:
    """
    Normalises every feature map of every image by itself. NHWC.

    The generator runs this layer more than once per iteration, hence
    the list of saved values.
    """

    def __init__(self, filters, eps=1e-5):
        self.eps = eps
        self.variables = {
            "gamma": np.ones(filters),
            "beta": np.zeros(filters),
        }
        self.gradients = {}
        self.saved = []

    def call(self, inputs):
        mean = inputs.mean(axis=(1, 2), keepdims=True)
        var = inputs.var(axis=(1, 2), keepdims=True)
        inv = 1.0 / np.sqrt(var + self.eps)
        normalized = (inputs - mean) * inv
        self.saved.append((normalized, inv))
        return self.variables["gamma"] * normalized + self.variables["beta"]

    def grad(self, upstream):
        normalized, inv = self.saved[0]
        n_pix = upstream.shape[1] * upstream.shape[2]

        self.gradients["gamma"] = np.sum(upstream * normalized, axis=(0, 1, 2))
        self.gradients["beta"] = np.sum(upstream, axis=(0, 1, 2))

        d_norm = upstream * self.variables["gamma"]
        total = d_norm.sum(axis=(1, 2), keepdims=True)
        total_norm = (d_norm * normalized).sum(axis=(1, 2), keepdims=True)
        return inv * (d_norm - total / n_pix - normalized * total_norm / n_pix)

    def apply_gradients(self, lr=1e-3):
        for name in self.variables:
            self.variables[name] -= lr * self.gradients[name]
