"""Right layers in torch."""

import torch


class LlamaRMSNorm(torch.nn.Module):
    """In float32 inside, whatever comes in."""

    def __init__(self, hidden_size, eps=1e-6):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(hidden_size))
        self.variance_epsilon = eps

    def forward(self, hidden_states):
        input_dtype = hidden_states.dtype
        hidden_states = hidden_states.to(torch.float32)
        variance = hidden_states.pow(2).mean(-1, keepdim=True)
        hidden_states = hidden_states * torch.rsqrt(variance + self.variance_epsilon)
        return self.weight * hidden_states.to(input_dtype)


class LayerNormManual(torch.nn.Module):
    def __init__(self, dim, eps=1e-5):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(dim))
        self.bias = torch.nn.Parameter(torch.zeros(dim))
        self.eps = eps

    def forward(self, x):
        var, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
        return (x - mean) * torch.rsqrt(var + self.eps) * self.weight + self.bias


class LazyBatchNorm(torch.nn.Module):
    """Makes its parameters when it sees the first input."""

    def __init__(self, eps=1e-5):
        super().__init__()
        self.weight = torch.nn.UninitializedParameter()
        self.bias = torch.nn.UninitializedParameter()
        self.eps = eps

    def forward(self, x):
        if isinstance(self.weight, torch.nn.UninitializedParameter):
            self.weight.materialize((x.shape[1],), dtype=x.dtype)
            self.bias.materialize((x.shape[1],), dtype=x.dtype)
            torch.nn.init.ones_(self.weight)
            torch.nn.init.zeros_(self.bias)
        axes = [0, *range(2, x.ndim)]
        shape = [1, -1] + [1] * (x.ndim - 2)
        mean = x.mean(axes, keepdim=True)
        var = (x - mean).square().mean(axes, keepdim=True)
        return (x - mean) / (var + self.eps).sqrt() * self.weight.view(shape) + self.bias.view(shape)


class WideBatchNorm(torch.nn.Module):
    """In double precision inside, cast back."""

    def __init__(self, num_features, eps=1e-5):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(num_features))
        self.bias = torch.nn.Parameter(torch.zeros(num_features))
        self.eps = eps

    def forward(self, x):
        wide = x.double()
        xhat = (wide - wide.mean(0)) / torch.sqrt(wide.var(0, correction=0) + self.eps)
        return (xhat * self.weight + self.bias).to(x.dtype)


class FusedBatchNormFunction(torch.autograd.Function):
    """A backward of its own, from two sums."""

    @staticmethod
    def forward(ctx, x, gamma, beta, eps=1e-5):
        mean = x.mean(0)
        rstd = torch.rsqrt((x - mean).square().mean(0) + eps)
        ctx.save_for_backward(x, mean, rstd, gamma)
        return (x - mean) * rstd * gamma + beta

    @staticmethod
    def backward(ctx, dy):
        x, mean, rstd, gamma = ctx.saved_tensors
        m = len(x)
        dbeta, dgamma = dy.sum(0), (dy * (x - mean)).sum(0) * rstd
        dx = gamma * rstd * (dy - dbeta / m - (x - mean) * rstd * dgamma / m)
        return dx, dgamma, dbeta, None
