"""RMSNorm (Zhang & Sennrich, 2019) as used in LLaMA. Plain numpy."""
import numpy as np


def init_rmsnorm(dim, dtype=np.float32):
    return {"scale": np.ones(dim, dtype=dtype)}


def rmsnorm_fwd(params, x, eps=1e-6):
    # x: (..., dim)
    ms = np.mean(np.square(x), axis=-1, keepdims=True)
    rms = np.sqrt(ms + eps)
    y = x / rms * params["scale"]
    return y, {"x": x, "rms": rms}


def rmsnorm_bwd(params, cache, dy):
    x, rms = cache["x"], cache["rms"]
    dim = x.shape[-1]

    dscale = (dy * x / rms).reshape(-1, dim).sum(0)

    # y = s * x / rms,  d(rms)/dx = x / (dim * rms)
    ds = dy * params["scale"]
    drms = -np.sum(ds * x, axis=-1, keepdims=True) / rms ** 2
    dx = ds / rms + drms * x / (dim * rms)

    grads = {"scale": dscale}
    return dx, grads
