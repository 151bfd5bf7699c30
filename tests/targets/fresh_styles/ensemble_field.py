"""Layer normalization written as a measurement of a field.

phi   : field, one configuration per row, (replica, site)
J     : coupling (multiplies the reduced field), h: external field
kappa : regulator of the fluctuation
force : dL/dpsi, the response to the outgoing field psi
"""
import numpy as np


def expectation(obs):
    return obs.mean(axis=1, keepdims=True)


class ReducedField:
    def __init__(self, n_sites, kappa=1e-5):
        self.J = np.ones((1, n_sites))
        self.h = np.zeros((1, n_sites))
        self.kappa = kappa

    def evolve(self, phi):
        delta_phi = phi - expectation(phi)
        sigma2 = expectation(delta_phi ** 2)
        self.inv_sigma = 1.0 / np.sqrt(sigma2 + self.kappa)
        self.z = delta_phi * self.inv_sigma
        return self.J * self.z + self.h

    def respond(self, force):
        """Returns dL/dphi; dL/dJ and dL/dh are kept as chi_J and chi_h."""
        self.chi_J = np.sum(force * self.z, axis=0, keepdims=True)
        self.chi_h = np.sum(force, axis=0, keepdims=True)
        f = force * self.J
        f_mean = f.mean(axis=0, keepdims=True)
        fz_mean = (f * self.z).mean(axis=0, keepdims=True)
        return self.inv_sigma * (f - f_mean - self.z * fz_mean)
