import torch


def _split(t, k):
    """(N, *, C) -> (N, positions, k, C // k)"""
    return t.flatten(1, -2).unflatten(-1, (k, -1))


class GroupedFn(torch.autograd.Function):
    @staticmethod
    def forward(x, weight, bias, k, eps):
        blocks = _split(x, k)
        var, mean = torch.var_mean(blocks, dim=(1, 3), keepdim=True, correction=0)
        rstd = (var + eps).rsqrt()
        unit = ((blocks - mean) * rstd).reshape(x.shape)
        return unit * weight + bias, unit, rstd

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, weight, _, ctx.k, _ = inputs
        _, unit, rstd = output
        ctx.mark_non_differentiable(unit, rstd)
        ctx.save_for_backward(unit, rstd, weight)

    @staticmethod
    def backward(ctx, dy, *_):
        unit, rstd, weight = ctx.saved_tensors
        lead = tuple(range(dy.dim() - 1))
        g, u = _split(dy * weight, ctx.k), _split(unit, ctx.k)
        average = lambda t: t.mean(dim=(1, 3), keepdim=True)
        dx = (rstd * (g - average(g) - u * average(g * u))).reshape(dy.shape)
        return dx, dy.sum(lead), (dy * unit).sum(lead), None, None


class ChannelsLastGroupNorm(torch.nn.Module):
    def __init__(self, num_groups, num_channels, eps=1e-5):
        super().__init__()
        self.num_groups, self.eps = num_groups, eps
        self.weight = torch.nn.Parameter(torch.ones(num_channels))
        self.bias = torch.nn.Parameter(torch.zeros(num_channels))

    def forward(self, x):
        y, *_ = GroupedFn.apply(x, self.weight, self.bias, self.num_groups, self.eps)
        return y
