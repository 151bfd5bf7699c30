import numpy as np


class BN:
    def __init__(self, n_hidden, name="bn1"):
        self.name = name
        self.params = {f"{name}/W_scale": np.ones(n_hidden), f"{name}/W_shift": np.zeros(n_hidden)}
        self.grads = {k: None for k in self.params}
        self.state = {"mu_ema": np.zeros(n_hidden), "sig2_ema": np.ones(n_hidden)}

    def forward(self, h, is_test=False):
        p = self.name + "/"
        if is_test:
            mu, sig2 = self.state["mu_ema"], self.state["sig2_ema"]
        else:
            mu, sig2 = h.mean(0), h.var(0)
            for key, new in (("mu_ema", mu), ("sig2_ema", sig2)):
                self.state[key] = .99 * self.state[key] + .01 * new
        self.tmp = dict(hn=(h - mu) / np.sqrt(sig2 + 1e-5), sig2=sig2)
        return self.params[p + "W_scale"] * self.tmp["hn"] + self.params[p + "W_shift"]

    def backward(self, dh):
        p = self.name + "/"
        hn = self.tmp["hn"]
        self.grads[p + "W_scale"] = (dh * hn).sum(0)
        self.grads[p + "W_shift"] = dh.sum(0)
        dhn = dh * self.params[p + "W_scale"]
        return (dhn - dhn.mean(0) - hn * np.mean(dhn * hn, 0)) / np.sqrt(self.tmp["sig2"] + 1e-5)
