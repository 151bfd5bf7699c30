"""Instance norm: each channel of each image by itself, with the variance's path written out."""

import numpy as np

AXES = (2, 3)


def instance_norm_forward(x, weight, bias, eps=1e-5):
    mean = x.mean(axis=AXES, keepdims=True)
    centered = x - mean
    var = np.mean(centered ** 2, axis=AXES, keepdims=True)
    inv_std = 1 / np.sqrt(var + eps)
    y = weight[None, :, None, None] * centered * inv_std + bias[None, :, None, None]
    return y, (centered, inv_std, weight)


def instance_norm_backward(grad_out, ctx):
    centered, inv_std, weight = ctx
    hw = centered.shape[2] * centered.shape[3]
    grad_weight = np.sum(grad_out * centered * inv_std, axis=(0, 2, 3))
    grad_bias = np.sum(grad_out, axis=(0, 2, 3))
    grad_norm = grad_out * weight[None, :, None, None]
    grad_var = -0.5 * np.sum(grad_norm * centered, axis=AXES, keepdims=True) * inv_std ** 3
    grad_centered = grad_norm * inv_std + 2 * centered * grad_var / hw
    grad_x = grad_centered - grad_centered.sum(axis=AXES, keepdims=True) / hw
    return grad_x, grad_weight, grad_bias
