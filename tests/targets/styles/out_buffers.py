import numpy as np

# after llm.c: all buffers belong to the caller, gradients are added to


def layernorm_forward(out, mean, rstd, inp, weight, bias, B, T, C):
    eps = 1e-5
    for b in range(B):
        for t in range(T):
            x = inp[b, t]
            m = x.sum() / C
            xshift = x - m
            v = (xshift * xshift).sum() / C
            s = 1.0 / np.sqrt(v + eps)
            out[b, t] = s * xshift * weight + bias
            # cache the mean and rstd for the backward pass later
            mean[b, t] = m
            rstd[b, t] = s


def layernorm_backward(dinp, dweight, dbias, dout, inp, weight, mean, rstd, B, T, C):
    for b in range(B):
        for t in range(T):
            norm = (inp[b, t] - mean[b, t]) * rstd[b, t]
            dnorm = weight * dout[b, t]
            # first: two reduce operations
            dnorm_mean = dnorm.sum() / C
            dnorm_norm_mean = (dnorm * norm).sum() / C
            # now iterate again and accumulate all the gradients
            dbias += dout[b, t]
            dweight += norm * dout[b, t]
            dinp[b, t] += (dnorm - dnorm_mean - norm * dnorm_norm_mean) * rstd[b, t]
