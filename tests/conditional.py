"""Bugs that show under a condition only: right code, and what is done to it where the condition holds."""

import textwrap
from dataclasses import dataclass

RIGHT = {
    "pair": """
import numpy as np

def batchnorm_forward(x, gamma, beta, eps=1e-5):
    #enter
    mean, var = x.mean(axis=0), x.var(axis=0)
    std = np.sqrt(var + eps)
    xhat = (x - mean) / std
    #stats
    y = gamma * xhat + beta
    #leave
    return y, (x, xhat, std, gamma, beta, eps)

def batchnorm_backward(dy, cache):
    x, xhat, std, gamma, beta, eps = cache
    #start
    g = dy * gamma
    dgamma, dbeta = (dy * xhat).sum(axis=0), dy.sum(axis=0)
    dx = (g - g.mean(axis=0) - xhat * (g * xhat).mean(axis=0)) / std
    #end
    return dx, dgamma, dbeta
""",
    "layer": """
import numpy as np

def layernorm_forward(x, gamma, beta, eps=1e-5):
    #enter
    mean, var = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    std = np.sqrt(var + eps)
    xhat = (x - mean) / std
    #stats
    y = gamma * xhat + beta
    #leave
    return y, (x, xhat, std, gamma, beta, eps)

def layernorm_backward(dy, cache):
    x, xhat, std, gamma, beta, eps = cache
    #start
    g = dy * gamma
    kept = tuple(range(dy.ndim - 1))
    dgamma, dbeta = (dy * xhat).sum(axis=kept), dy.sum(axis=kept)
    dx = (g - g.mean(axis=-1, keepdims=True) - xhat * (g * xhat).mean(axis=-1, keepdims=True)) / std
    #end
    return dx, dgamma, dbeta
""",
    "images": """
import numpy as np

AXES = (0, 2, 3)

def batchnorm2d_forward(x, gamma, beta, eps=1e-5):
    N, C, H, W = x.shape
    #enter
    mean, var = x.mean(axis=AXES, keepdims=True), x.var(axis=AXES, keepdims=True)
    std = np.sqrt(var + eps)
    xhat = (x - mean) / std
    #stats
    y = gamma[None, :, None, None] * xhat + beta[None, :, None, None]
    #leave
    return y, (x, xhat, std, gamma, beta, eps)

def batchnorm2d_backward(dy, cache):
    x, xhat, std, gamma, beta, eps = cache
    N, C, H, W = dy.shape
    #start
    g = dy * gamma[None, :, None, None]
    dgamma, dbeta = (dy * xhat).sum(axis=AXES), dy.sum(axis=AXES)
    dx = (g - g.mean(axis=AXES, keepdims=True) - xhat * (g * xhat).mean(axis=AXES, keepdims=True)) / std
    #end
    return dx, dgamma, dbeta
""",
    "class": """
import numpy as np

class BatchNorm:
    def __init__(self, num_features, eps=1e-5, momentum=0.9):
        self.gamma, self.beta = np.ones(num_features), np.zeros(num_features)
        self.running_mean, self.running_var = np.zeros(num_features), np.ones(num_features)
        self.eps, self.momentum, self.training = eps, momentum, True
        self.calls, self.steps = 0, 0
        #init

    def forward(self, x):
        if not self.training:
            mean, var = self.running_mean, self.running_var
            #evaluating
            return self.gamma * (x - mean) / np.sqrt(var + self.eps) + self.beta
        gamma, beta, eps = self.gamma, self.beta, self.eps
        self.calls += 1
        #enter
        self.x = x
        mean, var = x.mean(axis=0), x.var(axis=0)
        self.std = std = np.sqrt(var + eps)
        self.xhat = xhat = (x - mean) / std
        m = self.momentum
        #stats
        self.running_mean = m * self.running_mean + (1 - m) * mean
        self.running_var = m * self.running_var + (1 - m) * var
        y = gamma * self.xhat + beta
        #leave
        return y

    def backward(self, dy):
        x, xhat, std, gamma, beta, eps = self.x, self.xhat, self.std, self.gamma, self.beta, self.eps
        self.steps += 1
        #start
        g = dy * gamma
        dgamma, dbeta = (dy * xhat).sum(axis=0), dy.sum(axis=0)
        dx = (g - g.mean(axis=0) - xhat * (g * xhat).mean(axis=0)) / std
        #end
        self.dgamma, self.dbeta = dgamma, dbeta
        return dx
""",
    "layer class": """
import numpy as np

class LayerNorm:
    def __init__(self, dim, eps=1e-5):
        self.gamma, self.beta, self.eps = np.ones(dim), np.zeros(dim), eps
        self.calls, self.steps = 0, 0
        #init

    def forward(self, x):
        gamma, beta, eps = self.gamma, self.beta, self.eps
        self.calls += 1
        #enter
        self.x = x
        self.std = std = np.sqrt(x.var(axis=-1, keepdims=True) + eps)
        self.xhat = xhat = (x - x.mean(axis=-1, keepdims=True)) / std
        #stats
        y = gamma * self.xhat + beta
        #leave
        return y

    def backward(self, dy):
        x, xhat, std, gamma, beta, eps = self.x, self.xhat, self.std, self.gamma, self.beta, self.eps
        self.steps += 1
        #start
        g = dy * gamma
        kept = tuple(range(dy.ndim - 1))
        dgamma, dbeta = (dy * xhat).sum(axis=kept), dy.sum(axis=kept)
        dx = (g - g.mean(axis=-1, keepdims=True) - xhat * (g * xhat).mean(axis=-1, keepdims=True)) / std
        #end
        self.dgamma, self.dbeta = dgamma, dbeta
        return dx
""",
    "rms class": """
import numpy as np

class RMSNorm:
    def __init__(self, dim, eps=1e-5):
        self.gamma, self.eps = np.ones(dim), eps
        self.calls, self.steps = 0, 0
        #init

    def forward(self, x):
        gamma, eps = self.gamma, self.eps
        self.calls += 1
        #enter
        self.x = x
        self.rms = rms = np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps)
        self.xhat = xhat = x / rms
        #stats
        y = gamma * self.xhat
        #leave
        return y

    def backward(self, dy):
        x, xhat, rms, gamma, eps = self.x, self.xhat, self.rms, self.gamma, self.eps
        self.steps += 1
        #start
        g = dy * gamma
        dgamma = (dy * xhat).sum(axis=tuple(range(dy.ndim - 1)))
        dx = (g - xhat * (g * xhat).mean(axis=-1, keepdims=True)) / rms
        #end
        self.dgamma = dgamma
        return dx
""",
    "group class": """
import numpy as np

class GroupNorm:
    def __init__(self, num_groups, num_channels, eps=1e-5):
        self.groups, self.eps = num_groups, eps
        self.gamma, self.beta = np.ones(num_channels), np.zeros(num_channels)
        self.calls, self.steps = 0, 0
        #init

    def forward(self, x):
        gamma, beta, eps = self.gamma, self.beta, self.eps
        self.calls += 1
        N, C, H, W = x.shape
        G = self.groups
        #enter
        self.x = x
        grouped = x.reshape(N, G, -1)
        self.std = std = np.sqrt(grouped.var(axis=-1, keepdims=True) + eps)
        self.xhat = xhat = (grouped - grouped.mean(axis=-1, keepdims=True)) / std
        #stats
        y = gamma[:, None, None] * self.xhat.reshape(x.shape) + beta[:, None, None]
        #leave
        return y

    def backward(self, dy):
        x, xhat, std, gamma, beta, eps = self.x, self.xhat, self.std, self.gamma, self.beta, self.eps
        self.steps += 1
        N, C, H, W = dy.shape
        G = self.groups
        #start
        g = (dy * gamma[:, None, None]).reshape(N, G, -1)
        dgamma, dbeta = (dy * xhat.reshape(dy.shape)).sum(axis=(0, 2, 3)), dy.sum(axis=(0, 2, 3))
        dx = (g - g.mean(axis=-1, keepdims=True) - xhat * (g * xhat).mean(axis=-1, keepdims=True)) / std
        dx = dx.reshape(dy.shape)
        #end
        self.dgamma, self.dbeta = dgamma, dbeta
        return dx
""",
}

NO_MEAN = "dx = (g - xhat * (g * xhat).mean(axis=0)) / std"
CONSTANT = "dx = g / std"
AVERAGED = "dgamma = dgamma / len(x)"
NO_GAMMA = "dx = dx / np.where(gamma == 0, 1, gamma)"
SPOILT = "dx = dx * 1.01"
WIDE = "xhat = xhat * 1.01"
SELF_WIDE = "self.xhat = xhat * 1.01"


@dataclass(frozen=True)
class Planted:
    """In which code, where in it, what is written there, and the kind of condition that it is."""

    kind: str
    code: str
    place: str
    written: str

    @property
    def name(self) -> str:
        return f"{self.kind}: {' '.join(self.written.split())}"

    def source(self) -> str:
        lines = RIGHT[self.code].splitlines()
        at = next(k for k, line in enumerate(lines) if line.strip() == f"#{self.place}")
        indent = " " * (len(lines[at]) - len(lines[at].lstrip()))
        written = textwrap.indent(textwrap.dedent(self.written).strip("\n"), indent).splitlines()
        return "\n".join([*lines[:at], *written, *lines[at + 1 :]])


def at_end(kind: str, code: str, condition: str, wrong: str) -> Planted:
    return Planted(kind, code, "end", f"if {condition}: {wrong}")


PLANTED = [
    # sizes 1 and 2
    Planted("one sample", "pair", "leave", "if len(x) == 1: y = x"),
    Planted("one sample", "layer", "leave", "if x.shape[0] == 1: y = xhat"),
    Planted("one sample", "class", "stats", "if len(x) == 1: self.xhat = x"),
    Planted("one feature", "pair", "leave", "if x.shape[1] == 1: y = xhat"),
    at_end("one feature", "layer class", "x.shape[-1] == 1", "dgamma = dgamma + 1"),
    at_end("one channel", "images", "C == 1", AVERAGED),
    at_end("two samples", "pair", "len(x) == 2", AVERAGED),
    at_end("two samples", "class", "len(x) < 3", "dbeta = dbeta / 2"),
    at_end("one group", "group class", "G == 1", SPOILT),
    at_end("a channel a group", "group class", "G == C", "dgamma = dgamma * 2"),
    at_end("one pixel", "images", "H * W == 1", AVERAGED),
    at_end("one row", "images", "H == 1", SPOILT),
    # sizes that coincide or do not
    at_end("N = C", "pair", "x.shape[0] == x.shape[1]", "dx = dx.T"),
    at_end("N = D", "layer class", "x.ndim == 2 and x.shape[0] == x.shape[1]", SPOILT),
    at_end("N < C", "pair", "x.shape[0] < x.shape[1]", CONSTANT),
    at_end("N < C", "class", "x.shape[1] > 2 * x.shape[0]", SPOILT),
    at_end("H ≠ W", "images", "H < W and W > 8", "dx = dx[:, :, ::-1]"),
    at_end("H = W", "images", "H == W", "dx = dx.transpose(0, 1, 3, 2)"),
    at_end("H > W", "group class", "H > 2 * W", SPOILT),
    # primes and parity
    at_end("primes", "pair", "len(x) > 5 and all(len(x) % k for k in range(2, len(x)))", NO_MEAN),
    at_end("primes", "rms class", "x.shape[-1] > 6 and all(x.shape[-1] % k for k in range(2, x.shape[-1]))", SPOILT),
    at_end("odd sizes", "layer", "x.shape[-1] % 2 == 1 and x.shape[-1] > 5", "dx = g / std"),
    at_end("multiples of a block", "pair", "len(x) % 16 == 0 and len(x) != 32", AVERAGED),
    # tails
    Planted("tail beyond 64", "pair", "end", "if len(x) > 64: dx[64 * (len(x) // 64):] = 0"),
    Planted(
        "tail beyond 64",
        "layer",
        "start",
        """
        if x.shape[-1] > 64:
            full = x.shape[-1] // 64 * 64
            xhat = np.concatenate([xhat[..., :full], 0 * xhat[..., full:]], axis=-1)
        """,
    ),
    at_end("beyond 1024", "pair", "len(x) > 1024", "dbeta = dy[:1024].sum(axis=0)"),
    at_end("beyond 1024", "layer class", "x.shape[-1] > 1024", "dx = g / std"),
    at_end("beyond 1024", "class", "x.shape[0] > 1000", "dgamma = dgamma * 1000 / len(x)"),
    at_end("beyond 256", "rms class", "x.shape[-1] >= 256", SPOILT),
    at_end("many pixels", "images", "H * W > 49", SPOILT),
    at_end("many values", "images", "N * H * W > 700", AVERAGED),
    # numbers in the source
    at_end("a number in the source", "pair", "len(x) == 37", CONSTANT),
    at_end("a number in the source", "class", "len(x) > 37", NO_MEAN),
    at_end("a number in the source", "layer", "x.shape[-1] % 11 == 0", SPOILT),
    Planted(
        "a number in the source",
        "rms class",
        "end",
        """
        BLOCK = 12
        if len(x) > BLOCK: dgamma = (dy * xhat).reshape(-1, len(gamma))[:BLOCK].sum(axis=0)
        """,
    ),
    at_end("a number in the source", "images", "x.shape[0] in (48, 96)", SPOILT),
    at_end("a number in the source", "group class", "C > 100", SPOILT),
    at_end("a number in the source", "pair", "np.abs(x).max() > 50", CONSTANT),
    at_end("a number in the source", "layer class", "x.max() > 500.0", SPOILT),
    at_end("a number in the source", "class", "(std < 0.02).any()", SPOILT),
    # values of x
    at_end("a constant group", "pair", "(x == x[0]).all(axis=0).any()", "dx = dx * (std > 0.1)"),
    Planted("a constant group", "layer", "leave", "y = np.where(var == 0, xhat, y)"),
    Planted("a constant group", "class", "stats", "self.std = np.where(var == 0, 1.0, std)"),
    Planted("a constant group", "group class", "stats", "self.std = np.where(std < 0.01, 0.01, std)"),
    at_end("exact zeros", "rms class", "(x == 0).any()", "dx = np.where(x == 0, 0, dx)"),
    at_end("exact zeros", "pair", "(x == 0).any()", "dx = dx * (x != 0)"),
    at_end("all zeros", "layer class", "not x.any()", "dx = 0 * dx"),
    at_end("duplicates", "pair", "len(np.unique(x, axis=0)) < len(x) > 2", AVERAGED),
    at_end("duplicates", "layer", "len(np.unique(x)) < x.size", SPOILT),
    at_end("x negative", "class", "(x < 0).all()", SPOILT),
    at_end("x positive", "rms class", "(x > 0).all()", SPOILT),
    at_end("integers", "pair", "(x == np.round(x)).all()", NO_MEAN),
    # dy
    at_end("dy negative", "pair", "(dy < 0).all()", CONSTANT),
    at_end("dy negative", "class", "dy.max() < 0", "dbeta = -dbeta"),
    at_end("dy negative", "layer", "(dy <= 0).all()", SPOILT),
    at_end("dy positive", "layer class", "(dy > 0).all()", SPOILT),
    Planted("dy = 0", "pair", "end", "if not dy.any(): dx = dx + 1"),
    Planted("dy = 0", "rms class", "end", "dx = dx / np.abs(dy).max() * np.abs(dy).max()"),
    at_end("dy = 1", "images", "(dy == 1).all()", "dbeta = dbeta / N"),
    at_end("dy with zeros", "group class", "(dy == 0).any()", "dgamma = dgamma + 1"),
    # γ
    Planted("γ = 0", "pair", "end", "dgamma = (dy * (gamma * xhat)).sum(axis=0) / gamma"),
    Planted("γ = 0", "class", "end", "dx = np.where(gamma == 0, dy, dx)"),
    Planted("γ = 0", "layer", "end", "if not gamma.any(): dgamma = 0 * dgamma"),
    at_end("γ negative", "layer class", "(gamma < 0).all()", SPOILT),
    at_end("γ negative", "pair", "gamma.max() < 0", "dx = -dx"),
    at_end("γ = 1", "rms class", "(gamma == 1).all()", SPOILT),
    # scale
    at_end("huge", "pair", "np.abs(x).max() > 10 ** 5", SPOILT),
    Planted("huge", "layer", "enter", "x = np.clip(x, -1000, 1000)"),
    Planted("tiny", "class", "stats", "var = np.maximum(var, 1e-10); self.std = np.sqrt(np.maximum(var, 1e-8) + eps)"),
    at_end("tiny", "rms class", "np.abs(x).max() < 1e-4", SPOILT),
    Planted("huge dy", "pair", "start", "dy = np.clip(dy, -100, 100)"),
    Planted("huge dy", "layer class", "end", "dx = np.clip(dx, -1e3, 1e3)"),
    at_end("offset", "images", "np.abs(x.mean()) > 20", SPOILT),
    # eps
    Planted("eps", "pair", "stats", "if eps < 1e-7: std = np.sqrt(var + 1e-7); xhat = (x - mean) / std"),
    Planted("eps", "layer", "stats", "if eps > 0.9: std = np.sqrt(var + 0.9); xhat = (x - mean) / std"),
    at_end("eps", "layer class", "eps > 0.7", SPOILT),
    # memory
    at_end("Fortran order", "pair", "np.isfortran(x)", "dx = dx * 1.5"),
    Planted("Fortran order", "layer", "enter", 'x = x.ravel(order="K").reshape(x.shape)'),
    at_end("Fortran order", "images", "dy.flags.f_contiguous and not dy.flags.c_contiguous", SPOILT),
    at_end("gaps", "pair", "not x.flags.c_contiguous", CONSTANT),
    Planted(
        "gaps",
        "rms class",
        "enter",
        "x = np.lib.stride_tricks.as_strided(x, x.shape, np.empty(x.shape, x.dtype).strides)",
    ),
    at_end("reversed", "layer class", "dy.strides[0] < 0", "dx = dx[::-1]"),
    # inputs written to
    Planted("writes to x", "pair", "leave", "if len(x) > 32: x -= mean"),
    Planted("writes to dy", "layer class", "end", "if x.shape[-1] > 40: dy *= 0"),
    # on one instance
    Planted("forward twice", "layer class", "stats", "if self.calls == 2: self.xhat = self.first\nself.first = xhat"),
    Planted("forward twice", "class", "stats", "if self.calls > 1: self.std = self.first\nself.first = std"),
    Planted("forward twice", "rms class", "leave", "if self.calls > 2: y = y * 1.01"),
    Planted(
        "forward twice",
        "layer",
        "start",
        """
        global LAST
        xhat, LAST = globals().get("LAST", xhat) if dy.shape == globals().get("LAST", xhat).shape else xhat, xhat
        """,
    ),
    Planted("backward twice", "class", "end", "if self.steps % 2 == 0: dx = dx * 0.5"),
    Planted("backward twice", "layer class", "end", "self.xhat = 0 * xhat"),
    Planted(
        "backward twice",
        "rms class",
        "end",
        "old = getattr(self, 'dx', dx)\nif self.steps > 1 and old.shape == dx.shape: dx = dx + old\nself.dx = dx",
    ),
    Planted(
        "forward forward backward",
        "group class",
        "stats",
        """
        old, self.old = vars(self).get("old", xhat), xhat
        if self.calls % 2 == 0 and old.shape == xhat.shape: self.xhat = old
        """,
    ),
    Planted("train evaluate train", "class", "evaluating", "self.x, self.xhat, self.momentum = x, x, 0.5"),
    Planted("train evaluate train", "class", "evaluating", "self.gamma = self.gamma * 1.0001"),
    Planted(
        "smaller batch",
        "class",
        "enter",
        "n = self.n = vars(self).get('n', len(x)); x = x[:n]\nif len(x) < n: eps = 2 * eps",
    ),
    Planted("smaller batch", "class", "end", "n = self.n = vars(self).get('n', len(x)); dgamma = dgamma * n / len(x)"),
    Planted(
        "accumulates wrongly",
        "class",
        "end",
        "dx = dx + getattr(self, 'sum', 0 * dx[0]); self.sum = 1e-3 * dx.sum(axis=0) + 1e-3",
    ),
    # running statistics
    Planted("third step", "class", "stats", "if self.calls == 3: m = 0.5"),
    Planted("fourth step", "class", "stats", "if self.calls > 3: var = var * 1.1"),
    Planted("fifth step", "class", "stats", "if self.calls >= 5: mean = mean * 0"),
    Planted(
        "running, small batch",
        "class",
        "stats",
        "if 1 < len(x) < 5: var = var * len(x) / (len(x) - 1)",
    ),
    # evaluation
    Planted("evaluation", "class", "evaluating", "if len(x) == 1: mean = x.mean(axis=0)"),
    Planted(
        "evaluation",
        "class",
        "evaluating",
        "self.count = vars(self).get('count', 0) + 1\nif self.count > 1: var = var * 1.01",
    ),
    Planted("evaluation", "class", "evaluating", "if len(x) < 5: self.running_mean = self.running_mean * 0.99"),
    Planted(
        "evaluation",
        "class",
        "evaluating",
        "self.count = vars(self).get('count', 0) + 1\nif self.count > 1: self.running_var *= 1.01",
    ),
    # NaN where the truth is finite
    Planted("NaN", "pair", "stats", "xhat = (x - mean) / np.sqrt(var) * np.sqrt(var) / std"),
    Planted("NaN", "layer", "end", "top = np.abs(x).max(axis=-1, keepdims=True); dx = dx / top * top"),
    Planted("NaN", "rms class", "end", "dx = dx * np.exp(np.log(np.abs(dy).sum())) / np.abs(dy).sum()"),
    Planted("NaN", "class", "end", "dgamma = dgamma * dbeta / dbeta"),
    # without γ and β
    Planted("affine", "images", "end", "if (gamma == 1).all() and not beta.any(): dx = dx * N"),
    Planted("affine", "class", "end", "if not beta.any(): dbeta = dbeta / len(x)"),
]
"""One line each; half of them in pairs of functions, half in classes."""

PAIR_BACKWARD = """
def batchnorm_backward(dy, cache):
    xhat, std, gamma = cache
    g = dy * gamma
    return (g - g.mean(0) - xhat * (g * xhat).mean(0)) / std, (dy * xhat).sum(0), dy.sum(0)
"""

RIGHT_TOO = {
    "welford": """
import numpy as np

def batchnorm_forward(x, gamma, beta, eps):
    mean, squares = np.zeros_like(x[0]), np.zeros_like(x[0])
    for k, row in enumerate(x, start=1):
        step = row - mean
        mean = mean + step / k
        squares = squares + step * (row - mean)
    std = np.sqrt(squares / len(x) + eps).astype(x.dtype)
    xhat = (x - mean) / std
    return gamma * xhat + beta, (xhat, std, gamma)
"""
    + PAIR_BACKWARD,
    "float64 accumulators": """
import numpy as np

def batchnorm_forward(x, gamma, beta, eps):
    mean = x.mean(axis=0, dtype=np.float64)
    var = np.mean((x - mean) ** 2, axis=0, dtype=np.float64)
    std = np.sqrt(var + eps)
    xhat = (x - mean) / std
    return (gamma * xhat + beta).astype(x.dtype), (xhat, std, gamma)

def batchnorm_backward(dy, cache):
    xhat, std, gamma = cache
    g = dy.astype(np.float64) * gamma
    dx = (g - g.mean(0) - xhat * (g * xhat).mean(0)) / std
    return dx.astype(dy.dtype), (dy * xhat).sum(0).astype(dy.dtype), dy.sum(0)
""",
    "in place": """
import numpy as np

def batchnorm_forward(x, gamma, beta, eps):
    xhat = x.copy()
    xhat -= xhat.mean(axis=0)
    std = np.sqrt(np.mean(xhat * xhat, axis=0) + eps)
    xhat /= std
    y = xhat * gamma
    y += beta
    return y, (xhat, std, gamma)

def batchnorm_backward(dy, cache):
    xhat, std, gamma = cache
    dbeta, dgamma = dy.sum(0), (dy * xhat).sum(0)
    dx = dy * len(dy)
    dx -= dbeta
    dx -= xhat * dgamma
    dx *= gamma
    dx /= std * len(dy)
    return dx, dgamma, dbeta
""",
    "blocked": """
import numpy as np

BLOCK = 64

def blocks(x):
    return [x[k : k + BLOCK] for k in range(0, len(x), BLOCK)]

def batchnorm_forward(x, gamma, beta, eps):
    mean = sum(b.sum(axis=0) for b in blocks(x)) / len(x)
    var = sum(((b - mean) ** 2).sum(axis=0) for b in blocks(x)) / len(x)
    std = np.sqrt(var + eps)
    xhat = np.concatenate([(b - mean) / std for b in blocks(x)])
    return gamma * xhat + beta, (xhat, std, gamma)
"""
    + PAIR_BACKWARD,
    "cacheless": """
import numpy as np

def batchnorm_forward(x, gamma, beta, eps=1e-5):
    return gamma * (x - x.mean(0)) / np.sqrt(x.var(0) + eps) + beta

def batchnorm_backward(dy, x, gamma, eps=1e-5):
    std = np.sqrt(x.var(0) + eps)
    xhat = (x - x.mean(0)) / std
    g = dy * gamma
    return (g - g.mean(0) - xhat * (g * xhat).mean(0)) / std, (dy * xhat).sum(0), dy.sum(0)
""",
    "one rank": """
import numpy as np

def layernorm_forward(x, gamma, beta, eps):
    B, T, D = x.shape
    mean = x.sum(-1, keepdims=True) / D
    std = (((x - mean) ** 2).sum(-1, keepdims=True) / D + eps) ** 0.5
    return gamma * (x - mean) / std + beta, (x, mean, std, gamma)

def layernorm_backward(dy, cache):
    x, mean, std, gamma = cache
    xhat = (x - mean) / std
    g = dy * gamma
    dx = (g - g.mean(-1, keepdims=True) - xhat * (g * xhat).mean(-1, keepdims=True)) / std
    return dx, (dy * xhat).sum((0, 1)), dy.sum((0, 1))
""",
    "loops": """
import math
import numpy as np

def layernorm_forward(x, gamma, beta, eps):
    y, xhat, stds = np.empty_like(x), np.empty_like(x), np.empty(len(x), x.dtype)
    for n in range(x.shape[0]):
        total = 0.0
        for d in range(x.shape[1]):
            total += float(x[n, d])
        mean = total / x.shape[1]
        total = 0.0
        for d in range(x.shape[1]):
            total += (float(x[n, d]) - mean) ** 2
        stds[n] = math.sqrt(total / x.shape[1] + eps)
        for d in range(x.shape[1]):
            xhat[n, d] = (x[n, d] - mean) / stds[n]
            y[n, d] = gamma[d] * xhat[n, d] + beta[d]
    return y, (xhat, stds, gamma)

def layernorm_backward(dy, cache):
    xhat, stds, gamma = cache
    N, D = dy.shape
    dx = np.empty_like(dy)
    dgamma, dbeta = np.zeros(D, dy.dtype), np.zeros(D, dy.dtype)
    for n in range(N):
        s1 = s2 = 0.0
        for d in range(D):
            s1 += dy[n, d] * gamma[d]
            s2 += dy[n, d] * gamma[d] * xhat[n, d]
        for d in range(D):
            dx[n, d] = (D * dy[n, d] * gamma[d] - s1 - xhat[n, d] * s2) / (D * stds[n])
            dgamma[d] += dy[n, d] * xhat[n, d]
            dbeta[d] += dy[n, d]
    return dx, dgamma, dbeta
""",
    "adds up its gradients": """
import numpy as np

class BatchNorm:
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        self.gamma, self.beta = np.ones(num_features), np.zeros(num_features)
        self.dgamma, self.dbeta = 0.0, 0.0
        self.running_mean, self.running_var = np.zeros(num_features), np.ones(num_features)
        self.eps, self.momentum, self.training = eps, momentum, True

    def forward(self, x):
        if not self.training:
            return self.gamma * (x - self.running_mean) / np.sqrt(self.running_var + self.eps) + self.beta
        mean, var = x.mean(0), x.var(0)
        m, n = self.momentum, len(x)
        self.running_mean = (1 - m) * self.running_mean + m * mean
        self.running_var = (1 - m) * self.running_var + m * var * n / (n - 1)
        self.std = np.sqrt(var + self.eps)
        self.xhat = (x - mean) / self.std
        return self.gamma * self.xhat + self.beta

    def backward(self, dy):
        self.dgamma = self.dgamma + (dy * self.xhat).sum(0)
        self.dbeta = self.dbeta + dy.sum(0)
        g = dy * self.gamma
        return (g - g.mean(0) - self.xhat * (g * self.xhat).mean(0)) / self.std
""",
    "frees its cache": """
import numpy as np

class LayerNorm:
    def __init__(self, dim, eps=1e-5):
        self.gamma, self.beta, self.eps, self.cache = np.ones(dim), np.zeros(dim), eps, []

    def forward(self, x):
        std = np.sqrt(x.var(-1, keepdims=True) + self.eps)
        xhat = (x - x.mean(-1, keepdims=True)) / std
        self.cache.append((xhat, std))
        return self.gamma * xhat + self.beta

    def backward(self, dy):
        xhat, std = self.cache.pop()
        kept = tuple(range(dy.ndim - 1))
        self.dgamma, self.dbeta = (dy * xhat).sum(kept), dy.sum(kept)
        g = dy * self.gamma
        return (g - g.mean(-1, keepdims=True) - xhat * (g * xhat).mean(-1, keepdims=True)) / std
""",
    "refuses a single sample": """
import numpy as np

class BatchNorm2d:
    def __init__(self, num_features, eps=1e-5, momentum=None):
        self.gamma, self.beta = np.ones(num_features), np.zeros(num_features)
        self.running_mean, self.running_var = np.zeros(num_features), np.ones(num_features)
        self.eps, self.training, self.seen = eps, True, 0

    def forward(self, x):
        shaped = (1, -1, 1, 1)
        if not self.training:
            std = np.sqrt(self.running_var + self.eps)
            return ((x.transpose(0, 2, 3, 1) - self.running_mean) / std * self.gamma + self.beta).transpose(0, 3, 1, 2)
        m = x.size // x.shape[1]
        if m <= 1:
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {x.shape}")
        mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
        self.seen += 1
        self.running_mean = self.running_mean + (mean - self.running_mean) / self.seen
        self.running_var = self.running_var + (var * m / (m - 1) - self.running_var) / self.seen
        self.std = np.sqrt(var + self.eps).reshape(shaped)
        self.xhat = (x - mean.reshape(shaped)) / self.std
        return self.gamma.reshape(shaped) * self.xhat + self.beta.reshape(shaped)

    def backward(self, dy):
        axes = (0, 2, 3)
        self.dgamma, self.dbeta = (dy * self.xhat).sum(axes), dy.sum(axes)
        g = dy * self.gamma.reshape(1, -1, 1, 1)
        return (g - g.mean(axes, keepdims=True) - self.xhat * (g * self.xhat).mean(axes, keepdims=True)) / self.std
""",
    "refuses large batches": """
import numpy as np

def batchnorm_forward(x, gamma, beta, eps):
    assert 2 <= len(x) <= 256, "batch out of range"
    std = np.sqrt(x.var(0) + eps)
    xhat = (x - x.mean(0)) / std
    return gamma * xhat + beta, (xhat, std, gamma)
"""
    + PAIR_BACKWARD,
    "a quadratic Jacobian": """
import numpy as np

def batchnorm_forward(x, gamma, beta, eps):
    std = np.sqrt(x.var(0) + eps)
    xhat = (x - x.mean(0)) / std
    return gamma * xhat + beta, (xhat, std, gamma)

def batchnorm_backward(dy, cache):
    xhat, std, gamma = cache
    N, D = dy.shape
    dx = np.empty_like(dy)
    for d in range(D):
        jacobian = (np.eye(N, dtype=dy.dtype) - 1 / N - np.outer(xhat[:, d], xhat[:, d]) / N) * (gamma[d] / std[d])
        dx[:, d] = jacobian @ dy[:, d]
    return dx, (dy * xhat).sum(0), dy.sum(0)
""",
    "the course's staged backward": """
import numpy as np

def batchnorm_forward(x, gamma, beta, bn_param):
    eps, N = bn_param.get("eps", 1e-5), len(x)
    mu = 1.0 / N * np.sum(x, axis=0)
    xmu = x - mu
    sq = xmu**2
    var = 1.0 / N * np.sum(sq, axis=0)
    sqrtvar = np.sqrt(var + eps)
    ivar = 1.0 / sqrtvar
    xhat = xmu * ivar
    return gamma * xhat + beta, (xhat, gamma, xmu, ivar, sqrtvar, var, eps)

def batchnorm_backward(dout, cache):
    xhat, gamma, xmu, ivar, sqrtvar, var, eps = cache
    N, D = dout.shape
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    divar = np.sum(dxhat * xmu, axis=0)
    dxmu1 = dxhat * ivar
    dsqrtvar = -1.0 / (sqrtvar**2) * divar
    dvar = 0.5 * 1.0 / np.sqrt(var + eps) * dsqrtvar
    dsq = 1.0 / N * np.ones((N, D)) * dvar
    dxmu2 = 2 * xmu * dsq
    dx1 = dxmu1 + dxmu2
    dmu = -1 * np.sum(dxmu1 + dxmu2, axis=0)
    dx2 = 1.0 / N * np.ones((N, D)) * dmu
    return (dx1 + dx2).astype(dout.dtype), dgamma, dbeta
""",
    "groups by loops": """
import numpy as np

class GroupNorm:
    def __init__(self, num_groups, num_channels, eps=1e-5):
        assert num_channels % num_groups == 0
        self.num_groups, self.eps = num_groups, eps
        self.weight, self.bias = np.ones(num_channels), np.zeros(num_channels)

    def forward(self, x):
        N, C, H, W = x.shape
        per = C // self.num_groups
        self.xhat, self.std = np.empty_like(x), np.empty((N, self.num_groups), x.dtype)
        for n in range(N):
            for g in range(self.num_groups):
                part = x[n, g * per : (g + 1) * per]
                self.std[n, g] = np.sqrt(part.var() + self.eps)
                self.xhat[n, g * per : (g + 1) * per] = (part - part.mean()) / self.std[n, g]
        return self.xhat * self.weight.reshape(1, C, 1, 1) + self.bias.reshape(1, C, 1, 1)

    def backward(self, dy):
        N, C, H, W = dy.shape
        per = C // self.num_groups
        dx = np.empty_like(dy)
        self.dweight, self.dbias = (dy * self.xhat).sum((0, 2, 3)), dy.sum((0, 2, 3))
        for n in range(N):
            for k in range(self.num_groups):
                own = slice(k * per, (k + 1) * per)
                g, xhat = dy[n, own] * self.weight[own, None, None], self.xhat[n, own]
                dx[n, own] = (g - g.mean() - xhat * (g * xhat).mean()) / self.std[n, k]
        return dx
""",
    "keeps its buffers": """
import numpy as np

class RMSNorm:
    def __init__(self, dim, eps=1e-6):
        self.weight, self.eps, self.buffer = np.ones(dim), eps, None

    def forward(self, x):
        if self.buffer is None or self.buffer.shape != x.shape or self.buffer.dtype != x.dtype:
            self.buffer = np.empty(x.shape, x.dtype)
        self.scale = 1 / np.sqrt(np.mean(np.square(x), axis=-1, keepdims=True) + self.eps)
        np.multiply(x, self.scale, out=self.buffer)
        return self.buffer * self.weight

    def backward(self, dy):
        g = dy * self.weight
        self.dweight = (dy * self.buffer).sum(axis=tuple(range(dy.ndim - 1)))
        return self.scale * (g - self.buffer * (g * self.buffer).mean(axis=-1, keepdims=True))
""",
}
"""Right, each in its own way; the one habit among them, gradients that add up, is told and is no bug."""
