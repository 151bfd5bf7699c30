import jax
import jax.numpy as jnp


def init(num_channels):
    params = {"offset": jnp.zeros(num_channels), "scale": jnp.ones(num_channels)}
    state = {"mean": jnp.zeros(num_channels), "var": jnp.ones(num_channels), "counter": 0}
    return params, state


def apply(params, state, x, is_training=True, decay=0.9, eps=1e-5):
    """x: (..., channels).  Returns the output and the new state."""
    if is_training:
        axes = tuple(range(x.ndim - 1))
        mean = jnp.mean(x, axes)
        var = jnp.var(x, axes)
        state = {
            "mean": decay * state["mean"] + (1 - decay) * mean,
            "var": decay * state["var"] + (1 - decay) * var,
            "counter": state["counter"] + 1,
        }
    else:
        mean, var = state["mean"], state["var"]
    inv = params["scale"] * jax.lax.rsqrt(var + eps)
    return (x - mean) * inv + params["offset"], state


def loss(params, state, x, target):
    y, state = apply(params, state, x)
    return jnp.sum((y - target) ** 2), state


grad_fn = jax.value_and_grad(loss, argnums=(0, 2), has_aux=True)
