"""Layer norm of one vector; whole arrays by vmap over the leading axes."""
import functools

import jax
import jax.numpy as jnp

EPS = 1e-5


@jax.custom_vjp
def norm_vector(weights, v):
    return _ahead(weights, v)[0]


def _ahead(weights, v):
    gain, bias = weights["gain"], weights["bias"]
    centred = v - v.mean()
    s = jnp.sqrt(jnp.dot(centred, centred) / v.size + EPS)
    out = gain * centred / s + bias
    return out, (gain, out, centred / s, s)


def _back(saved, w):
    gain, out, unit, s = saved
    p = gain * w
    dv = (p - p.mean() - unit * jnp.dot(p, unit) / p.size) / s
    return {"gain": w * out, "bias": w}, dv


norm_vector.defvjp(_ahead, _back)


def make_weights(size):
    return {"gain": jnp.ones(size), "bias": jnp.zeros(size)}


def layer_norm(weights, x):
    over_last = functools.reduce(
        lambda f, _: jax.vmap(f, in_axes=(None, 0)), range(x.ndim - 1), norm_vector)
    return over_last(weights, x)
