import numpy as np

from . import config
from .tensor_ops import blend, standardise


class BNLayer:
    def __init__(self, previous_size):
        self.size = previous_size
        self.gammas = np.ones(self.size)
        self.betas = np.zeros(self.size)
        self.mean_ma = np.zeros(self.size)
        self.var_ma = np.ones(self.size)

    def activate(self, batch):
        self.mean, self.var = batch.mean(0), batch.var(0)
        self.mean_ma = blend(self.mean_ma, self.mean, config.AVERAGING)
        self.var_ma = blend(self.var_ma, self.var, config.AVERAGING)
        self.std = np.sqrt(self.var + config.EPSILON)
        self.hat = standardise(batch, self.mean, self.std)
        return self.gammas * self.hat + self.betas

    def predict(self, batch):
        std = np.sqrt(self.var_ma + config.EPSILON)
        return self.gammas * standardise(batch, self.mean_ma, std) + self.betas

    def propagate_error(self, err):
        self.gamma_grad = np.sum(err * self.hat, 0)
        self.beta_grad = np.sum(err, 0)
        err_hat = err * self.gammas
        err_var = -0.5 * np.sum(err_hat * self.hat, 0) / self.std**2
        err_mean = -np.sum(err_hat, 0) / self.std
        return err_hat / self.std + err_var * (2 / len(err)) * self.hat + err_mean / len(err)
