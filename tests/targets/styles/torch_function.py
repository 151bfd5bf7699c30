import torch


class BatchNormFunction(torch.autograd.Function):

    @staticmethod
    def forward(ctx, x, weight, bias, eps):
        mean = x.mean(dim=0)
        var = x.var(dim=0, unbiased=False)
        inv_std = torch.rsqrt(var + eps)
        x_hat = (x - mean) * inv_std
        ctx.save_for_backward(x_hat, inv_std, weight)
        return x_hat * weight + bias

    @staticmethod
    def backward(ctx, grad_output):
        x_hat, inv_std, weight = ctx.saved_tensors
        grad_x = grad_weight = grad_bias = None
        B = grad_output.shape[0]
        sum_g = grad_output.sum(dim=0)
        sum_gx = (grad_output * x_hat).sum(dim=0)
        if ctx.needs_input_grad[0]:
            grad_x = weight * inv_std / B * (B * grad_output - sum_g - x_hat * sum_gx)
        if ctx.needs_input_grad[1]:
            grad_weight = sum_gx
        if ctx.needs_input_grad[2]:
            grad_bias = sum_g
        return grad_x, grad_weight, grad_bias, None


class CustomBatchNorm(torch.nn.Module):
    def __init__(self, n_neurons, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.gammas = torch.nn.Parameter(torch.ones(n_neurons))
        self.betas = torch.nn.Parameter(torch.zeros(n_neurons))

    def forward(self, input):
        if input.dim() != 2 or input.shape[1] != self.gammas.shape[0]:
            raise RuntimeError(f"Expected (batch, {self.gammas.shape[0]}), got {tuple(input.shape)}")
        return BatchNormFunction.apply(input, self.gammas, self.betas, self.eps)
