"""The gradient of each layer's weights in ten layers of sigmoids, tanhs and ReLUs, as training starts and later."""

from __future__ import annotations

import numpy as np

from bncheck.case import Array
from bncheck.training.laboratory.data import Data
from bncheck.training.laboratory.experiment import About, Table
from bncheck.training.laboratory.fitting import fit
from bncheck.training.laboratory.results import Measured, Results, Setting, rounded, spread
from bncheck.training.networks.architectures import dense
from bncheck.training.networks.network import Network
from bncheck.training.networks.optimizers import SGD

ABOUT = About(
    question="Does the first layer's gradient vanish?",
    source="A course on batch norm in Keras, which says that early gradients vanish exponentially with depth; Glorot"
    " and Bengio, 2010, and He et al., 2015, for the initial weights. Digits and dense layers instead of its net.",
    limits="With the initial weights proper to each activation function, at one depth, width and rate. A gradient"
    " that arrives is not yet one that teaches.",
)

SCALES = {"sigmoid": "xavier", "tanh": "xavier", "relu": "he"}
"""The initial weights that are proper to each activation function: variance 1/inputs, and 2/inputs for ReLUs."""

HIDDEN = (100,) * 10
RATE, BATCH = 0.1, 100
STEPS, QUICK = (0, 100, 500), (0, 10, 20)
"""After how many steps the gradients are measured."""


def settings(quick: bool) -> list[Setting]:
    """Each activation function without batch norm and with it."""
    return [{"activation": activation, "batch_norm": bn} for activation in SCALES for bn in (False, True)]


def run(setting: Setting, seed: int, data: Data, quick: bool) -> Measured:
    """|∂W| of every layer, and the loss, on all training images with their own statistics; test accuracy at the end."""
    flat, activation = data.flat, setting["activation"]
    network = dense(
        (flat.features, *HIDDEN, flat.classes),
        np.random.default_rng(seed),
        activation=activation,
        scale=SCALES[activation],
        normalization="batch_norm" if setting["batch_norm"] else None,
    )
    steps = QUICK if quick else STEPS
    norms, losses = [], []

    def measure() -> None:
        losses.append(float(network.step(flat.x_train, flat.y_train)))
        norms.append(lengths(network))

    def watch(step: int, loss: float) -> None:
        if step in steps:
            measure()

    measure()
    fit(network, SGD(RATE), flat, batch=BATCH, steps=steps[-1], seed=seed, watch=watch)
    while len(norms) < len(steps):  # the loss was no number any more
        measure()
    accuracy = network.measured(flat.x_test, flat.y_test, training=True).accuracy
    measured = {"steps": list(steps), "loss": losses, "norms": norms, "accuracy": accuracy}
    return {name: rounded(value, 4) for name, value in measured.items()}


def lengths(network: Network) -> list[float]:
    """|∂W| of every layer, the first one first."""
    return [float(np.linalg.norm(module.gradients["weight"].astype(np.float64))) for module in network.weighted]


def hidden(results: Results, activation: str, *, batch_norm: bool) -> Array:
    """|∂W| of the hidden layers.

    Shapes
        returned: (seeds, len(STEPS), len(HIDDEN))
    """
    return results.values("norms", activation=activation, batch_norm=batch_norm)[:, :, :-1]


def ratios(norms: Array) -> Array:
    """The first layer's gradient in units of the last hidden one's; the layers are the last axis."""
    return np.asarray(norms[..., 0] / norms[..., -1])


def factors(norms: Array) -> Array:
    """By what a layer multiplies the gradient on its way back: the slope of its logarithm; layers on the last axis."""
    layers = np.arange(norms.shape[-1]) - (norms.shape[-1] - 1) / 2
    return np.asarray(np.exp(-np.log(norms) @ layers / (layers @ layers)))


def table(results: Results) -> Table:
    """A row for each network: first over last, the factor per layer, and whether it learned."""
    steps = results.runs[0].measured["steps"]
    rows = []
    for activation in results.settings("activation"):
        for batch_norm in (False, True):
            norms = hidden(results, activation, batch_norm=batch_norm)
            ratio, factor = ratios(norms).mean(axis=0), factors(norms).mean(axis=0)
            accuracy = results.spread("accuracy", activation=activation, batch_norm=batch_norm).mean
            cells = [f"{ratio[k]:.2g}" for k in range(len(steps))] + [f"{factor[k]:.3f}" for k in (0, -1)]
            name = f"{named(activation)}{' with BN' if batch_norm else ''}"
            rows.append((name, *cells, f"{accuracy:.3f}"))
    heads = [f"first/last at {steps[0]}", *map(str, steps[1:]), f"×/layer at {steps[0]}", str(steps[-1]), "test"]
    return Table(("network", *heads), tuple(rows))


def named(activation: str) -> str:
    """As it is written."""
    return "ReLU" if activation == "relu" else activation


KEPT = 0.1
"""A first layer that gets at least so much of the last one's gradient: nothing vanishes."""


def sentence(results: Results) -> str:
    """What of the gradient arrives in the first layer as training starts, of sigmoids and of the other functions."""
    plain, normal = (hidden(results, "sigmoid", batch_norm=bn)[:, 0] for bn in (False, True))
    others = [name for name in results.settings("activation") if name != "sigmoid"]
    starts = {name: ratios(hidden(results, name, batch_norm=False)[:, 0]) for name in others}
    lost = [named(name) for name, found in starts.items() if not found.min() >= KEPT]
    arrives = " and ".join(f"{told(found)} with {named(name)}" for name, found in starts.items())
    vanishes = f"it vanishes with {' and '.join(lost)}, too" if lost else "it vanishes with neither of the others"
    return (
        f"Of the last one's gradient the first of {plain.shape[-1]} sigmoid layers gets {told(ratios(plain))} as"
        f" training starts without batch norm, a factor of {told(factors(plain))} per layer, and"
        f" {told(ratios(normal))} with it; with the weights proper to each {vanishes}: {arrives}, without batch norm."
    )


def told(values: Array) -> str:
    """The spread over the seeds, in two digits."""
    return spread(values).text(".2g")
