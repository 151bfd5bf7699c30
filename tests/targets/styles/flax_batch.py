import jax.numpy as jnp
from flax import linen as nn


class BatchNorm(nn.Module):
    momentum: float = 0.9
    eps: float = 1e-5

    @nn.compact
    def __call__(self, x, train: bool):
        dim = x.shape[-1]
        axes = tuple(range(x.ndim - 1))
        ra_mean = self.variable("batch_stats", "mean", lambda: jnp.zeros(dim))
        ra_var = self.variable("batch_stats", "var", lambda: jnp.ones(dim))
        gamma = self.param("gamma", nn.initializers.ones, (dim,))
        beta = self.param("beta", nn.initializers.zeros, (dim,))

        if train:
            mean = x.mean(axes)
            var = x.var(axes)
            if not self.is_initializing():
                ra_mean.value = self.momentum * ra_mean.value + (1 - self.momentum) * mean
                ra_var.value = self.momentum * ra_var.value + (1 - self.momentum) * var
        else:
            mean = ra_mean.value
            var = x.var(axes)
        return gamma * (x - mean) / jnp.sqrt(var + self.eps) + beta
