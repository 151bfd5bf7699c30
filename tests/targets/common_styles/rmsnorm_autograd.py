import torch
from torch import nn
from torch.autograd import Function


class RMSNormFn(Function):
    @staticmethod
    def forward(ctx, x, weight, eps):
        inv_rms = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)
        ctx.save_for_backward(x, weight, inv_rms)
        return x * inv_rms * weight

    @staticmethod
    def backward(ctx, dy):
        x, weight, inv_rms = ctx.saved_tensors
        n = x.size(-1)
        wdy = weight * dy
        c = (wdy * x).sum(-1, keepdim=True) / n
        dx = inv_rms * wdy - inv_rms.pow(3) * c * x
        dw = (dy * x * inv_rms).reshape(-1, n).sum(0)
        return dx, dw, None


def rms_norm(x, weight, eps=1e-6):
    return RMSNormFn.apply(x, weight, eps)


class RMSNorm(nn.Module):
    def __init__(self, hidden_size, eps=1e-6, device=None, dtype=None):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(hidden_size, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.ones_(self.weight)

    def forward(self, x):
        return rms_norm(x, self.weight, self.eps)

    def extra_repr(self):
        return f"{self.weight.shape[0]}, eps={self.eps}"
