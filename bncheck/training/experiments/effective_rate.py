"""Weights before batch norm only ever grow, and with them falls the rate that counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bncheck.case import Array
from bncheck.training.laboratory.data import Data
from bncheck.training.laboratory.experiment import About, Table
from bncheck.training.laboratory.fitting import fit
from bncheck.training.laboratory.results import Measured, Results, Setting, rounded, spread
from bncheck.training.networks.architectures import dense
from bncheck.training.networks.modules import Linear
from bncheck.training.networks.network import Network
from bncheck.training.networks.normalization import Normalization
from bncheck.training.networks.optimizers import SGD

ABOUT = About(
    question="What becomes of the learning rate behind a batch norm?",
    source="van Laarhoven, L2 Regularization versus Batch and Weight Normalization, 2017, on effective rates; Arora,"
    " Li and Lyu, Theoretical Analysis of Auto Rate-Tuning by Batch Normalization, 2019, on the growth of weights. The"
    " network is ours: three hidden layers of 100 ReLUs, batches of 100, float64, SGD.",
    limits="The identities are theorems; how fast the weights grow is of this network. They are of weights before a"
    " batch norm alone: γ, β and the last layer feel the whole rate. With weight decay, momentum or Adam none of this"
    " follows.",
)

RATES = (0.1, 1.0, 10.0, 100.0)

KINDS: dict[str, dict[str, Any]] = {
    "exact": {"normalization": "batch_norm", "eps": 0.0, "affine": False},
    "learned": {"normalization": "batch_norm", "eps": 0.0},
    "usual": {"normalization": "batch_norm", "eps": 1e-5},
    "none": {},
}
"""Batch norm with ε = 0, that with γ and β, that with the usual ε, and none."""

HIDDEN, BATCH, STEPS = (100,) * 3, 100, 200
LAYER = 1
"""The layer whose weights are shown, the middle one; the identities are looked at in every hidden layer."""

SHOWN = tuple(sorted({round(step) - 1 for step in np.geomspace(1, STEPS + 1, 40).tolist()}))
"""After how many steps the size of the weights is kept: most happens early."""


def settings(quick: bool) -> list[Setting]:
    """Each kind at each rate."""
    return [{"kind": kind, "rate": rate} for kind in KINDS for rate in RATES]


class Watched(SGD):
    """SGD, of which somebody looks at the network before each step."""

    def __init__(self, rate: float, look: Callable[[Network], None]) -> None:
        super().__init__(rate)
        self.look = look

    def step(self, network: Network) -> None:
        """Looks, and makes the step."""
        self.look(network)
        super().step(network)


def run(setting: Setting, seed: int, data: Data, quick: bool) -> Measured:
    """How far both identities are off at most, the size of the weights over the steps, the accuracy at the end.

    `angle` is |⟨W, g⟩| / (|W| |g|); `growth` the relative difference of |W|² and |W₀|² + η² Σ |g|²; `formula`, in the
    units of `angle`, that of ⟨W, g⟩ and Σ ε/(σ² + ε) γ ∂ℓ/∂γ, where there is γ.
    """
    flat, rate = data.flat.astype(np.float64), setting["rate"]
    network = dense(
        (flat.features, *HIDDEN, flat.classes),
        np.random.default_rng(seed),
        dtype=np.float64,
        **KINDS[setting["kind"]],
    )
    hidden = [module for module in network.weighted[:-1] if isinstance(module, Linear)]
    squares, gradients, products, predicted = [], [], [], []

    def look(network: Network) -> None:
        weights = [(module.parameters["weight"], module.gradients["weight"]) for module in hidden]
        squares.append([_dot(weight, weight) for weight, _ in weights])
        gradients.append([_dot(gradient, gradient) for _, gradient in weights])
        products.append([_dot(weight, gradient) for weight, gradient in weights])
        predicted.append([_product(norm) for norm in network.normalizations])

    steps = 20 if quick else STEPS
    fit(network, Watched(rate, look), flat, batch=BATCH, steps=steps, seed=seed)
    squares.append([_dot(module.parameters["weight"], module.parameters["weight"]) for module in hidden])
    size, slope, dot = (np.array(values) for values in (squares, gradients, products))
    scale = np.sqrt(size[:-1] * slope)
    expected = size[0] + rate**2 * np.cumsum(slope, axis=0)
    found = {"angle": np.abs(dot) / scale, "growth": np.abs(size[1:] - expected) / size[1:]}
    if setting["kind"] in ("learned", "usual"):
        found["formula"] = np.abs(dot - np.array(predicted)) / scale
    shown = [float(size[step, LAYER]) ** 0.5 if step < len(size) else None for step in SHOWN if step <= steps]
    test = network.measured(flat.x_test, flat.y_test).accuracy
    worst = {name: rounded(np.fmax.reduce(values, axis=None), 3) for name, values in found.items()}
    return {**worst, "size": rounded(shown, 5), "test": rounded(test, 4)}


def _dot(one: Array, other: Array) -> float:
    return float(np.vdot(one, other))


def _product(norm: Normalization) -> float:
    """What ⟨W, g⟩ is for the weights before this batch norm, from its γ alone."""
    if "gamma" not in norm.parameters:
        return 0.0
    _, var = norm.statistics
    return float((norm.eps / (var + norm.eps) * norm.parameters["gamma"] * norm.gradients["gamma"]).sum())


def sizes(results: Results, kind: str, rate: float) -> Array:
    """The size |W| of the middle layer over the steps, seed by seed; NaN where it was no number any more."""
    return results.values("size", kind=kind, rate=rate)


def effective(results: Results, kind: str, rate: float) -> Array:
    """The effective rate η/|W|² over the steps, seed by seed."""
    return np.asarray(rate / sizes(results, kind, rate) ** 2)


def largest(results: Results, name: str, kind: str, **setting: float) -> float:
    """How far an identity is off at most, over all seeds, and all rates if none is given."""
    return float(np.fmax.reduce(results.values(name, kind=kind, **setting)))


def table(results: Results) -> Table:
    """A row for each kind and rate."""
    rows = []
    for kind in results.settings("kind"):
        for rate in results.settings("rate", kind=kind):
            off = [results.values(name, kind=kind, rate=rate) for name in ("angle", "growth")]
            ends = effective(results, kind, rate)[:, [0, -1]].T
            accuracy = results.spread("test", kind=kind, rate=rate).mean
            cells = [*(f"{found.max():.0e}" for found in off), *(f"{found.mean():.2g}" for found in ends)]
            rows.append((NAMES[kind], f"{rate:g}", *cells, f"{accuracy:.3f}"))
    return Table(("batch norm", "rate", "⟨W, g⟩", "off the sum", "η/|W|²", "at the end", "accuracy"), tuple(rows))


NAMES = {"exact": "ε = 0, no γ, β", "learned": "ε = 0", "usual": "ε = 1e-5", "none": "none"}


def sentence(results: Results) -> str:
    """How exact the identities are, how far the effective rate falls, and how the networks end at the largest rate."""
    angle, growth = ([_off(results, name, kind) for kind in KINDS] for name in ("angle", "growth"))
    highest = max(results.settings("rate"))
    first, last = (spread(rates).text(".2g") for rates in effective(results, "exact", highest)[:, [0, -1]].T)
    tests = [results.spread("test", kind=kind, rate=highest).text(".3f") for kind in ("exact", "learned")]
    return (
        f"|⟨W, g⟩| is at most {angle[0]} of |W| |g| before batch norm with ε = 0, {angle[2]} with the usual ε,"
        f" {angle[3]} without batch norm at the smallest rate; |W|² differs from |W₀|² + η² Σ |g|² by at most"
        f" {growth[0]}, {growth[2]} and {growth[3]} of it. At rate {highest:g} the effective rate η/|W|² goes from"
        f" {first} to {last}, and the network ends at {tests[0]} without γ and β, at {tests[1]} with them."
    )


def _off(results: Results, name: str, kind: str) -> str:
    """How far an identity is off at most; without batch norm at the least rate, as larger ones do not train."""
    setting = {"rate": min(results.settings("rate"))} if kind == "none" else {}
    return spread([largest(results, name, kind, **setting)]).text(".1g")
