import numpy as np


class LayerNorm1D:
    """Layer normalization for 1D (n_ex, n_in) inputs. Unlike batch norm there are no running statistics."""

    def __init__(self, epsilon=1e-5, optimizer=None):
        self.X = []
        self.n_in = None
        self.n_out = None
        self.epsilon = epsilon
        self.parameters = {"scaler": None, "intercept": None}
        self.gradients = {}
        self.derived_variables = {"mean": [], "var": []}
        self.is_initialized = False

    def _init_params(self, n_in):
        self.n_in = self.n_out = n_in
        self.parameters = {"scaler": np.ones(n_in), "intercept": np.zeros(n_in)}
        self.gradients = {k: np.zeros_like(v) for k, v in self.parameters.items()}
        self.is_initialized = True

    @property
    def hyperparameters(self):
        return {"layer": "LayerNorm1D", "n_in": self.n_in, "epsilon": self.epsilon}

    def forward(self, X, retain_derived=True):
        if not self.is_initialized:
            self._init_params(X.shape[1])
        scaler, intercept = self.parameters["scaler"], self.parameters["intercept"]

        mean = X.mean(axis=1, keepdims=True)
        var = X.var(axis=1, keepdims=True)
        lnorm = (X - mean) / np.sqrt(var + self.epsilon)
        y = scaler * lnorm + intercept

        if retain_derived:
            self.X.append(X)
            self.derived_variables["mean"].append(mean)
            self.derived_variables["var"].append(var)
        return y

    def backward(self, dLdy, retain_grads=True):
        if not isinstance(dLdy, list):
            dLdy = [dLdy]
        dX = []
        for i, (dy, x) in enumerate(zip(dLdy, self.X)):
            mean, var = self.derived_variables["mean"][i], self.derived_variables["var"][i]
            dx, dScaler, dIntercept = self._bwd(dy, x, mean, var)
            dX.append(dx)
            if retain_grads:
                self.gradients["scaler"] += dScaler
                self.gradients["intercept"] += dIntercept
        return dX[0] if len(self.X) == 1 else dX

    def _bwd(self, dLdy, X, mean, var):
        n_ex, n_in = X.shape
        lnorm = (X - mean) / np.sqrt(var + self.epsilon)
        dLnorm = dLdy * self.parameters["scaler"]

        dX = n_ex * dLnorm - dLnorm.sum(axis=1, keepdims=True) - lnorm * (dLnorm * lnorm).sum(axis=1, keepdims=True)
        dX /= n_ex * np.sqrt(var + self.epsilon)

        return dX, np.sum(dLdy * lnorm, axis=0), dLdy.sum(axis=0)
