from typing import NamedTuple

import jax
import jax.numpy as jnp


class Theta(NamedTuple):
    gamma: jax.Array
    beta: jax.Array


class Memory(NamedTuple):
    mean: jax.Array
    var: jax.Array


class Residual(NamedTuple):
    xhat: jax.Array
    inv: jax.Array


def start(dim):
    return Theta(jnp.ones(dim), jnp.zeros(dim)), Memory(jnp.zeros(dim), jnp.ones(dim))


@jax.jit
def ahead(theta, memory, x, decay=0.9, eps=1e-5):
    """-> y, new memory, residual for `reverse`; x: (batch, dim)"""
    mean = jnp.mean(x, axis=0)
    var = jnp.mean(jnp.square(x - mean), axis=0)
    inv = jax.lax.rsqrt(var + eps)
    xhat = (x - mean) * inv
    blend = lambda old, new: decay * old + (1 - decay) * new
    memory = jax.tree_util.tree_map(blend, memory, Memory(mean, var))
    return theta.gamma * xhat + theta.beta, memory, Residual(xhat, inv)


@jax.jit
def reverse(theta, residual, ybar):
    """-> thetabar, xbar"""
    xhat, inv = residual
    thetabar = Theta(jnp.sum(ybar * xhat, axis=0), jnp.sum(ybar, axis=0))
    pull = theta.gamma * ybar
    tangent_part = pull - pull.mean(axis=0) - xhat * (pull * xhat).mean(axis=0)
    return thetabar, inv * tangent_part


@jax.jit
def ask(theta, memory, x, eps=1e-5):
    return theta.gamma * (x - memory.mean) * jax.lax.rsqrt(memory.var + eps) + theta.beta
