import torch
from torch import nn


class _Standardise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, eps, bias, x, weight):
        centred = x - x.mean(dim=-1, keepdim=True)
        rs = torch.rsqrt(centred.pow(2).mean(dim=-1, keepdim=True) + eps)
        ctx.save_for_backward(weight, centred, rs)
        return torch.addcmul(bias, centred * rs, weight)

    @staticmethod
    def backward(ctx, up):
        weight, centred, rs = ctx.saved_tensors
        unit = centred * rs
        lead = list(range(up.dim() - 1))
        d_bias = up.sum(dim=lead) if ctx.needs_input_grad[1] else None
        d_weight = (up * unit).sum(dim=lead) if ctx.needs_input_grad[3] else None
        h = up * weight
        d_x = rs * (h - h.mean(-1, keepdim=True) - unit * (h * unit).mean(-1, keepdim=True))
        return None, d_bias, d_x, d_weight


class TokenNorm(nn.Module):
    def __init__(self, width, eps=1e-5):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(width))
        self.stretch = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, tokens):
        return _Standardise.apply(self.eps, self.shift, tokens, self.stretch)
