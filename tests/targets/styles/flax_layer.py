from typing import Callable

import flax.linen as nn
import jax.numpy as jnp


class FeatureNorm(nn.Module):
    epsilon: float = 1e-6
    use_bias: bool = True
    scale_init: Callable = nn.initializers.ones
    bias_init: Callable = nn.initializers.zeros

    @nn.compact
    def __call__(self, x):
        features = x.shape[-1]
        mean = jnp.mean(x, axis=-1, keepdims=True)
        var = jnp.mean(jnp.square(x - mean), axis=-1, keepdims=True)
        y = (x - mean) / jnp.sqrt(var + self.epsilon)
        y = y * self.param("alpha", self.scale_init, (features,))
        if self.use_bias:
            y = y + self.param("delta", self.bias_init, (features,))
        return y
