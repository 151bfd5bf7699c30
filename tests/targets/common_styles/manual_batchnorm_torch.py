import torch
import torch.nn as nn


class CustomBatchNormManualFunction(torch.autograd.Function):
    """
    Batch normalization for (n_batch, n_neurons), with a hand-written backward.
    """

    @staticmethod
    def forward(ctx, input, gamma, beta, eps=1e-5):
        mean = input.mean(dim=0)
        var = input.var(dim=0, unbiased=False)
        inv_std = torch.rsqrt(var + eps)
        x_hat = (input - mean) * inv_std
        out = gamma * x_hat + beta

        ctx.save_for_backward(x_hat, gamma, inv_std)
        ctx.mark_non_differentiable(mean, var)
        return out, mean, var

    @staticmethod
    def backward(ctx, grad_output, _grad_mean, _grad_var):
        x_hat, gamma, inv_std = ctx.saved_tensors
        B = grad_output.shape[0]
        grad_input = grad_gamma = grad_beta = None

        sum_dy = grad_output.sum(dim=0)
        sum_dy_xhat = (grad_output * x_hat).sum(dim=0)
        if ctx.needs_input_grad[0]:
            grad_input = gamma * inv_std / B * (B * grad_output - sum_dy - x_hat * sum_dy_xhat)
        if ctx.needs_input_grad[1]:
            grad_gamma = sum_dy_xhat
        if ctx.needs_input_grad[2]:
            grad_beta = sum_dy

        # eps is not a tensor
        return grad_input, grad_gamma, grad_beta, None


class CustomBatchNormManualModule(nn.Module):

    def __init__(self, n_neurons, eps=1e-5, momentum=0.1):
        super().__init__()
        self.n_neurons = n_neurons
        self.eps = eps
        self.momentum = momentum
        self.gamma = nn.Parameter(torch.ones(n_neurons))
        self.beta = nn.Parameter(torch.zeros(n_neurons))
        self.register_buffer("running_mean", torch.zeros(n_neurons))
        self.register_buffer("running_var", torch.ones(n_neurons))

    def forward(self, input):
        assert input.shape[1] == self.n_neurons
        if self.training:
            out, mean, var = CustomBatchNormManualFunction.apply(input, self.gamma, self.beta, self.eps)
            n = input.shape[0]
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var * n / (n - 1), self.momentum)
            return out
        x_hat = (input - self.running_mean) / torch.sqrt(self.running_var + self.eps)
        return self.gamma * x_hat + self.beta
