import numpy as np

ACC = np.float64


class LayerNormalization:
    """The sums run in double precision, whatever the precision of the activations."""

    def __init__(self, normalized_shape, eps=1e-5, dtype=np.float32):
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps = eps
        self.alpha = np.ones(self.normalized_shape, dtype=dtype)
        self.beta = np.zeros(self.normalized_shape, dtype=dtype)

    def forward(self, x):
        axes = tuple(range(-len(self.normalized_shape), 0))
        xd = x.astype(ACC)
        mean = xd.mean(axis=axes, keepdims=True)
        var = np.square(xd - mean).mean(axis=axes, keepdims=True)
        rstd = 1.0 / np.sqrt(var + self.eps)
        self.saved = (x, mean, rstd, axes)
        return ((xd - mean) * rstd * self.alpha + self.beta).astype(x.dtype)

    def backward(self, grad_out):
        x, mean, rstd, axes = self.saved
        lead = tuple(range(grad_out.ndim - len(axes)))
        xh = (x.astype(ACC) - mean) * rstd
        go = grad_out.astype(ACC)
        self.d_alpha = (go * xh).sum(axis=lead).astype(self.alpha.dtype)
        self.d_beta = go.sum(axis=lead).astype(self.beta.dtype)
        g = go * self.alpha
        dx = rstd * (g - g.mean(axis=axes, keepdims=True) - xh * (g * xh).mean(axis=axes, keepdims=True))
        return dx.astype(grad_out.dtype)
