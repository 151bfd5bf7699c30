"""Two short functions; eps only by keyword."""

import numpy as np


def forward(inp, scale, shift, *, eps=1e-5):
    mu = np.mean(inp, axis=0)
    r = 1 / np.sqrt(np.mean((inp - mu) ** 2, axis=0) + eps)
    z = (inp - mu) * r
    return scale * z + shift, {"z": z, "r": r, "scale": scale}


def backward(cache, dout):
    z, g = cache["z"], dout * cache["scale"]
    return {
        "dscale": np.einsum("ij,ij->j", dout, z),
        "dshift": np.einsum("ij->j", dout),
        "dx": cache["r"] * (g - g.mean(axis=0) - z * np.mean(g * z, axis=0)),
    }
