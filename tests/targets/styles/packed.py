import numpy as np

# all parameters of the net live in one flat vector (for scipy.optimize)


class BNLayer:

    def __init__(self, d, eps=1e-6):
        self.d = d
        self.eps = eps

    @property
    def n_params(self):
        return 2 * self.d

    def unpack(self, theta):
        return theta[:self.d], theta[self.d:]

    def init_params(self):
        return np.r_[np.ones(self.d), np.zeros(self.d)]

    def forward(self, theta, X):
        scale, offset = self.unpack(theta)
        self.mu = X.mean(axis=0)
        self.s = np.sqrt(X.var(axis=0) + self.eps)
        self.Xn = (X - self.mu) / self.s
        return self.Xn * scale + offset

    def backward(self, theta, delta):
        """Returns (dX, dtheta), dtheta being packed as theta is."""
        scale, _ = self.unpack(theta)
        dtheta = np.empty_like(theta)
        dtheta[:self.d] = np.einsum("ij,ij->j", delta, self.Xn)
        dtheta[self.d:] = delta.sum(axis=0)
        d = delta * scale
        dX = (d - d.mean(axis=0) - self.Xn * (d * self.Xn).mean(axis=0)) / self.s
        return dX, dtheta
