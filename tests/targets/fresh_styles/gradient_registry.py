import numpy as np

_OPS, _GRADIENTS = {}, {}


def op(name):
    def register(fn):
        _OPS[name] = fn
        return fn
    return register


def gradient_of(name):
    def register(fn):
        _GRADIENTS[name] = fn
        return fn
    return register


@op("batchnorm")
def _(inputs, attrs, state, training):
    x, scale, offset = inputs
    if training:
        mean, variance = np.mean(x, 0), np.var(x, 0)
        keep = attrs["decay"]
        state["mean"] = keep * state["mean"] + (1 - keep) * mean
        state["variance"] = keep * state["variance"] + (1 - keep) * variance
    else:
        mean, variance = state["mean"], state["variance"]
    rstd = 1 / np.sqrt(variance + attrs["epsilon"])
    return (x - mean) * rstd * scale + offset, (mean, rstd)


@gradient_of("batchnorm")
def _(inputs, extra, upstream):
    x, scale, _ = inputs
    mean, rstd = extra
    normed = (x - mean) * rstd
    d_offset = upstream.sum(0)
    d_scale = (upstream * normed).sum(0)
    d_x = scale * rstd * (upstream - (d_offset + normed * d_scale) / x.shape[0])
    return d_x, d_scale, d_offset


class Node:
    """One op of the graph; inputs[0] comes from outside, the others are its own."""

    def __init__(self, op_name, size, **attrs):
        self.op_name = op_name
        self.attrs = {"epsilon": 1e-5, "decay": 0.9, **attrs}
        self.own = [np.ones(size), np.zeros(size)]
        self.own_grads = [None, None]
        self.state = {"mean": np.zeros(size), "variance": np.ones(size)}

    def execute(self, x, training=True):
        self.inputs = [x, *self.own]
        out, self.extra = _OPS[self.op_name](self.inputs, self.attrs, self.state, training)
        return out

    def differentiate(self, upstream):
        dx, *self.own_grads = _GRADIENTS[self.op_name](self.inputs, self.extra, upstream)
        return dx


def batchnorm(size, **attrs):
    return Node("batchnorm", size, **attrs)
