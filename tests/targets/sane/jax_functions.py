"""Right layers in JAX."""

import jax
import jax.numpy as jnp


def layer_norm(x, gamma, beta, eps=1e-5):
    mean = x.mean(-1, keepdims=True)
    var = jnp.square(x - mean).mean(-1, keepdims=True)
    return gamma * (x - mean) * jax.lax.rsqrt(var + eps) + beta


@jax.custom_vjp
def rms_norm(x, gamma, eps=1e-6):
    return gamma * x * jax.lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + eps)


def _forward(x, gamma, eps=1e-6):
    inv = jax.lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + eps)
    return gamma * x * inv, (x * inv, inv, gamma)


def _backward(kept, dy):
    xhat, inv, gamma = kept
    g = dy * gamma
    dx = inv * (g - xhat * (g * xhat).mean(-1, keepdims=True))
    return dx, (dy * xhat).reshape(-1, dy.shape[-1]).sum(0), None


rms_norm.defvjp(_forward, _backward)
