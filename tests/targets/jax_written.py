"""JAX: a function with a rule of its own, and one that JAX differentiates."""

from functools import partial

import jax
import jax.numpy as jnp


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def batch_norm(x, gamma, beta, eps):
    return batch_norm_fwd(x, gamma, beta, eps)[0]


def batch_norm_fwd(x, gamma, beta, eps):
    mean, var = x.mean(0), x.var(0)
    inv_std = jax.lax.rsqrt(var + eps)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat + beta, (x_hat, gamma, inv_std)


def batch_norm_bwd(eps, saved, dy):
    x_hat, gamma, inv_std = saved
    g = dy * gamma
    return inv_std * (g - g.mean(0) - x_hat * (g * x_hat).mean(0)), (dy * x_hat).sum(0), dy.sum(0)


batch_norm.defvjp(batch_norm_fwd, batch_norm_bwd)


@jax.jit
def layer_norm(x, scale, bias, epsilon=1e-5):
    mean = jnp.mean(x, axis=-1, keepdims=True)
    var = jnp.mean((x - mean) ** 2, axis=-1, keepdims=True)
    return scale * (x - mean) / jnp.sqrt(var + epsilon) + bias
