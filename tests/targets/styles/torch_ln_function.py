import torch
from torch.autograd import Function


class _LayerNorm(Function):
    @staticmethod
    def forward(ctx, inp, g, b, eps=1e-5):
        mu = inp.mean(-1, keepdim=True)
        rstd = (inp.var(-1, unbiased=False, keepdim=True) + eps).rsqrt()
        xhat = (inp - mu) * rstd
        ctx.save_for_backward(xhat, rstd, g)
        return xhat * g + b

    @staticmethod
    def backward(ctx, dy):
        xhat, rstd, g = ctx.saved_tensors
        wdy = dy * g
        c1 = (xhat * wdy).mean(-1, keepdim=True)
        c2 = dy.mean(-1, keepdim=True)
        dx = (wdy - (xhat * c1 + c2)) * rstd
        lead = list(range(dy.dim() - 1))
        return dx, (dy * xhat).sum(lead), dy.sum(lead), None


def layer_norm(inp, g, b, eps=1e-5):
    return _LayerNorm.apply(inp, g, b, eps)
