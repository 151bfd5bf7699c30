"""How the entries of a gradient are distributed before training and during it, without batch norm and with it."""

from __future__ import annotations

from typing import Any

import numpy as np

from bncheck.case import Array
from bncheck.training.laboratory.data import Data
from bncheck.training.laboratory.experiment import About, Table
from bncheck.training.laboratory.fitting import fit
from bncheck.training.laboratory.results import Measured, Results, Setting, rounded, spread, thinned
from bncheck.training.networks.architectures import dense
from bncheck.training.networks.modules import Linear
from bncheck.training.networks.network import Network
from bncheck.training.networks.optimizers import SGD

ABOUT = About(
    question="Are a few entries of the gradient far larger than the rest?",
    source="Bjorck, Gomes, Selman and Weinberger, Understanding batch normalization, 2018, their histograms of"
    " gradients at initialization; eight dense layers of 100 units instead of a residual net of 110 layers.",
    limits="Of one mini-batch before training; of ReLUs, not of every network. That such a gradient is hard to follow"
    " does not follow.",
)

SCALES = {"relu": "he", "tanh": "xavier"}

HIDDEN = (100,) * 8
WATCHED = 5
"""The layer whose entries are counted, the fifth of eight."""

RATE, BATCH, STEPS = 0.05, 100, 400

EDGES = np.linspace(-20.25, 20.25, 82)
"""Bins half a standard deviation wide, one of them around zero."""


def settings(quick: bool) -> list[Setting]:
    """Two activation functions, without batch norm and with it."""
    return [{"activation": activation, "batch_norm": bn} for activation in SCALES for bn in (False, True)]


def kurtosis(values: Array) -> float:
    """The mean fourth power of z-scores: 3 for a normal distribution, whatever its width.

    >>> kurtosis(np.array([-1.0, 1.0]))
    1.0
    """
    centred = values.astype(np.float64).ravel()
    centred -= centred.mean()
    return float((centred**4).mean() / (centred**2).mean() ** 2)


def one_direction(gradient: Array) -> float:
    """The share of |∂W|² that the nearest matrix of rank one has: 1 where all images ask for the same."""
    singular = np.linalg.svd(gradient.astype(np.float64), compute_uv=False)
    return float(singular[0] ** 2 / (singular**2).sum())


def drift(network: Network, x: Array) -> list[float]:
    """For each linear map the size of its units' means over the batch, in units of their standard deviations."""
    found = []
    for module in network.modules:
        x = module.forward(x, True)
        if isinstance(module, Linear):
            found.append(float(np.sqrt((x.mean(axis=0) ** 2).mean() / x.var(axis=0).mean())))
    return found


def run(setting: Setting, seed: int, data: Data, quick: bool) -> Measured:
    """Every layer's gradient on the first mini-batch; the watched layer's kurtosis on each one of the training."""
    flat = data.flat
    network = dense(
        (flat.features, *HIDDEN, flat.classes),
        np.random.default_rng(seed),
        activation=setting["activation"],
        scale=SCALES[setting["activation"]],
        normalization="batch_norm" if setting["batch_norm"] else None,
    )
    x, labels = flat.x_train[:BATCH], flat.y_train[:BATCH]
    network.step(x, labels)
    found = {**counted(network), "drift": drift(network, x)}
    curve: list[float] = []

    def watch(step: int, loss: float) -> None:
        curve.append(kurtosis(network.weighted[WATCHED - 1].gradients["weight"]))

    losses = fit(network, SGD(RATE), flat, batch=BATCH, steps=12 if quick else STEPS, seed=seed, watch=watch)
    blocks = np.array_split(np.arange(len(curve)), len(thinned(len(curve))))
    found["steps"] = [1 + block.mean() for block in blocks]
    found["curve"] = [np.median(np.array(curve)[block]) for block in blocks]
    found["losses"] = [np.mean(np.array(losses)[block]) for block in blocks]
    return {name: rounded(values, 4) for name, values in found.items()}


def counted(network: Network) -> dict[str, Any]:
    """Of each weight matrix's gradient, the first one first; of the watched one the entries, counted in bins."""
    gradients = [module.gradients["weight"].astype(np.float64) for module in network.weighted]
    entries = gradients[WATCHED - 1]
    counts, _ = np.histogram((entries - entries.mean()) / entries.std(), EDGES)
    return {
        "kurtosis": [kurtosis(gradient) for gradient in gradients],
        "largest": [abs(gradient).max() / abs(gradient).mean() for gradient in gradients],
        "one_direction": [one_direction(gradient) for gradient in gradients],
        "counts": counts.tolist(),
    }


SHOWN = (
    ("kurtosis", ".1f", "kurtosis"),
    ("largest", ".1f", "max/mean"),
    ("one_direction", ".2f", "rank 1"),
    ("drift", ".2f", "drift"),
)
"""What the table holds: the quantity, its format, its heading."""


def table(results: Results) -> Table:
    """A row for each activation function and weight matrix; for each quantity without batch norm and with it."""
    rows = []
    for activation in results.settings("activation"):
        means = [
            results.values(name, activation=activation, batch_norm=bn).mean(axis=0)
            for name, *_ in SHOWN
            for bn in (False, True)
        ]
        forms = [form for _, form, _ in SHOWN for _ in range(2)]
        for layer in range(len(HIDDEN) + 1):
            cells = [format(mean[layer], form) for mean, form in zip(means, forms, strict=True)]
            rows.append((f"{activation} W{layer + 1}", *cells))
    headings = [heading for *_, words in SHOWN for heading in (words, "BN")]
    return Table(("gradient", *headings), tuple(rows))


def watched(results: Results, name: str, activation: str, *, batch_norm: bool) -> Array:
    """What was measured of the watched layer, over the seeds."""
    return results.values(name, activation=activation, batch_norm=batch_norm)[:, WATCHED - 1]


def trained(results: Results, activation: str, *, batch_norm: bool) -> Array:
    """Its kurtosis at the end of the training, over the seeds; infinite where the training broke off in no number."""
    runs = results.where(activation=activation, batch_norm=batch_norm)
    return np.array([np.inf if run.measured["curve"][-1] is None else run.measured["curve"][-1] for run in runs])


def sentence(results: Results) -> str:
    """The kurtosis of the watched layer before training, and how it is at the end."""
    if not np.isfinite(results.values("kurtosis")).all():
        return "In one of the networks no gradient came through, so that nothing can be said of its tails."
    parts = []
    for activation in results.settings("activation"):
        before = [spread(watched(results, "kurtosis", activation, batch_norm=bn)) for bn in (False, True)]
        after = [spread(trained(results, activation, batch_norm=bn)) for bn in (False, True)]
        parts.append(
            f"with {WORDS[activation]} {before[0].text()} without batch norm and {before[1].text()} with it, around"
            f" step {results.runs[0].measured['steps'][-1]:.0f} {after[0].text()} and {after[1].text()}"
        )
    shares = [spread(watched(results, "one_direction", "relu", batch_norm=bn)) for bn in (False, True)]
    return (
        f"Kurtosis of the entries of ∂W{WATCHED} (3 is normal): {'; '.join(parts)}. Of |∂W{WATCHED}|² before training a"
        f" matrix of rank one holds {shares[0].text('.2f')} without and {shares[1].text('.2f')} with it, ReLUs."
    )


WORDS = {"relu": "ReLUs", "tanh": "tanh"}
