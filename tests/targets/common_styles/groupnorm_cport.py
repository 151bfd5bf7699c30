"""
Group norm, ported from my C version (loops kept so the two can be diffed).
All parameters of the layer live in one flat array: params[:C] is the scale,
params[C:] is the shift. The gradients array has the same layout.
"""
import numpy as np


def groupnorm_forward(out, mean, rstd, inp, params, B, C, HW, G, eps=1e-5):
    # inp, out: (B, C, HW);  mean, rstd: (B, G)
    cpg = C // G
    n = cpg * HW
    for b in range(B):
        for g in range(G):
            m = 0.0
            for c in range(g * cpg, (g + 1) * cpg):
                for i in range(HW):
                    m += inp[b, c, i]
            m /= n
            v = 0.0
            for c in range(g * cpg, (g + 1) * cpg):
                for i in range(HW):
                    v += (inp[b, c, i] - m) ** 2
            v /= n
            s = 1.0 / np.sqrt(v + eps)
            for c in range(g * cpg, (g + 1) * cpg):
                for i in range(HW):
                    out[b, c, i] = (inp[b, c, i] - m) * s * params[c] + params[C + c]
            mean[b, g] = m
            rstd[b, g] = s


def groupnorm_backward(dinp, dparams, dout, inp, mean, rstd, params, B, C, HW, G):
    # adds to dinp and dparams, the caller zeroes them
    cpg = C // G
    n = cpg * HW
    for b in range(B):
        for g in range(G):
            m, s = mean[b, g], rstd[b, g]
            # two reduce operations
            dnorm_mean = 0.0
            dnorm_norm_mean = 0.0
            for c in range(g * cpg, (g + 1) * cpg):
                for i in range(HW):
                    norm = (inp[b, c, i] - m) * s
                    dnorm = params[c] * dout[b, c, i]
                    dnorm_mean += dnorm
                    dnorm_norm_mean += dnorm * norm
            dnorm_mean /= n
            dnorm_norm_mean /= n
            # now iterate again and accumulate all the gradients
            for c in range(g * cpg, (g + 1) * cpg):
                for i in range(HW):
                    norm = (inp[b, c, i] - m) * s
                    dnorm = params[c] * dout[b, c, i]
                    dparams[C + c] += dout[b, c, i]
                    dparams[c] += norm * dout[b, c, i]
                    dinp[b, c, i] += (dnorm - dnorm_mean - norm * dnorm_norm_mean) * s
