"""The whole model is one dict of dicts; a layer is addressed by its name."""
import numpy as np


def add_batchnorm(model, name, size, momentum=0.9, eps=1e-5):
    model[name] = {
        "kind": "batchnorm",
        "options": {"momentum": momentum, "eps": eps},
        "theta": {"gamma": np.ones(size), "beta": np.zeros(size)},
        "nabla": {},
        "population": {"mu": np.zeros(size), "var": np.ones(size)},
        "scratch": {},
    }
    return model


def forward_at(model, name, x, learning=True):
    node = model[name]
    opt, theta, pop = node["options"], node["theta"], node["population"]
    mu, var = x.mean(axis=0), x.var(axis=0)
    for key, now in (("mu", mu), ("var", var)):
        pop[key] = opt["momentum"] * pop[key] + (1 - opt["momentum"]) * now
    if not learning:
        mu, var = pop["mu"], pop["var"]
    std = np.sqrt(var + opt["eps"])
    xn = (x - mu) / std
    if learning:
        node["scratch"] = {"xn": xn, "std": std}
    return theta["gamma"] * xn + theta["beta"]


def backward_at(model, name, dy):
    node = model[name]
    xn, std = node["scratch"]["xn"], node["scratch"]["std"]
    node["nabla"] = {"gamma": np.sum(dy * xn, axis=0), "beta": np.sum(dy, axis=0)}
    d = dy * node["theta"]["gamma"]
    return (d - d.mean(axis=0) - xn * np.mean(d * xn, axis=0)) / std
