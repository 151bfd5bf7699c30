import numpy as np


def make_batch_norm(size, eps=1e-5, rate=0.1):
    gamma, beta = np.ones(size), np.zeros(size)
    d_gamma, d_beta = np.zeros(size), np.zeros(size)
    mean_avg, var_avg = np.zeros(size), np.ones(size)
    seen = None

    def forward(x, training=True):
        nonlocal seen, mean_avg, var_avg
        if training:
            mean, var = x.mean(0), x.var(0)
            mean_avg = mean_avg + rate * (mean - mean_avg)
            var_avg = var_avg + rate * (var - var_avg)
        else:
            mean, var = mean_avg, var_avg
        std = np.sqrt(var + eps)
        seen = (x - mean) / std, std
        return gamma * seen[0] + beta

    def backward(dy):
        xn, std = seen
        d_gamma[:] = (dy * xn).sum(0)
        d_beta[:] = dy.sum(0)
        return gamma / std * (dy - d_beta / len(dy) - xn * d_gamma / len(dy))

    def statistics():
        return mean_avg, var_avg

    return {
        "forward": forward,
        "backward": backward,
        "parameters": [gamma, beta],
        "gradients": [d_gamma, d_beta],
        "statistics": statistics,
    }
