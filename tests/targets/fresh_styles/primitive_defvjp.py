"""A few lines in the manner of HIPS autograd, and batch norm written with them."""
import numpy as np

_vjps = {}


class Box:
    def __init__(self, value, fun=None, args=()):
        self.value, self.fun, self.args = value, fun, args


def primitive(f):
    def wrapped(*args):
        values = [a.value if isinstance(a, Box) else a for a in args]
        return Box(f(*values), wrapped, args)
    return wrapped


def defvjp(fun, *makers):
    _vjps[fun] = makers


def unbroadcast(g, like):
    return g.sum(axis=0) if np.ndim(like) < np.ndim(g) else g


mean0 = primitive(lambda x: x.mean(axis=0))
var0 = primitive(lambda x: x.var(axis=0))
rsqrt = primitive(lambda v, eps: 1 / np.sqrt(v + eps))
sub, mul, add = primitive(np.subtract), primitive(np.multiply), primitive(np.add)

defvjp(mean0, lambda ans, x: lambda g: np.ones_like(x) * g / len(x))
defvjp(var0, lambda ans, x: lambda g: g * (x - x.mean(axis=0)) / len(x))
defvjp(rsqrt, lambda ans, v, eps: lambda g: -0.5 * g * ans ** 3, None)
defvjp(sub, lambda ans, a, b: lambda g: g, lambda ans, a, b: lambda g: unbroadcast(-g, b))
defvjp(mul, lambda ans, a, b: lambda g: g * b, lambda ans, a, b: lambda g: unbroadcast(g * a, b))
defvjp(add, lambda ans, a, b: lambda g: g, lambda ans, a, b: lambda g: unbroadcast(g, b))


def make_vjp(fun):
    def run(*args):
        leaves = [Box(a) for a in args]
        end = fun(*leaves)

        def vjp(g):
            order, total = [], {id(end): g}

            def visit(box):
                if isinstance(box, Box) and box not in order:
                    [visit(a) for a in box.args]
                    order.append(box)
            visit(end)
            for box in reversed(order):
                values = [a.value if isinstance(a, Box) else a for a in box.args]
                for a, maker in zip(box.args, _vjps.get(box.fun, ())):
                    if isinstance(a, Box):
                        part = maker(box.value, *values)(total[id(box)])
                        total[id(a)] = total.get(id(a), 0) + part
            return tuple(total[id(leaf)] for leaf in leaves)
        return vjp, end.value
    return run


def batchnorm(x, gamma, beta):
    normalized = mul(sub(x, mean0(x)), rsqrt(var0(x), 1e-5))
    return add(mul(normalized, gamma), beta)


batchnorm_vjp = make_vjp(batchnorm)     # vjp, y = batchnorm_vjp(x, gamma, beta); vjp(dy)
