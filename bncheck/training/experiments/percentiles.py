"""What comes into a sigmoid while a network learns: percentiles over the test data, without batch norm and with it."""

from __future__ import annotations

import math

import numpy as np

from bncheck.case import Array
from bncheck.training.laboratory.data import Data
from bncheck.training.laboratory.experiment import About, Table
from bncheck.training.laboratory.fitting import fit
from bncheck.training.laboratory.results import Measured, Results, Setting, Spread, rounded, spread
from bncheck.training.networks.architectures import dense
from bncheck.training.networks.network import Network
from bncheck.training.networks.optimizers import SGD

ABOUT = About(
    question="Does batch norm keep the input of a sigmoid in place while a network learns?",
    source="Ioffe and Szegedy, Batch Normalization, 2015, figure 1: three hidden layers of 100 sigmoids, batches of 60,"
    " SGD; here 5000 steps instead of 50000, and a scale and two rates that they do not tell. As theirs, the network"
    " with batch norm takes the statistics of what it is given: here all test data at once.",
    limits="Behind batch norm an input has the mean β and the spread |γ| by definition: that it stays is no discovery,"
    " and that a network learns faster because of it is another claim, which this does not show.",
)

RATES = (1.0, 0.1)
SCALE = 0.1
"""The standard deviation of the initial weights."""

HIDDEN, BATCH = (100,) * 3, 60
STEPS = (*range(0, 1000, 50), *range(1000, 5001, 250))
"""The steps after which one looks."""

PERCENTILES = (15, 50, 85)

CHANCE = 0.2
"""Below this accuracy on the test data a network has learned next to nothing: twice that of guessing a digit."""

SATURATED = 2 * math.atanh(math.sqrt(1 - 1 / 20))
"""4.36. From there on, on either side, a sigmoid's slope is less than a twentieth of its largest one."""


def settings(quick: bool) -> list[Setting]:
    """Each rate without batch norm and with it; a quick run takes one rate."""
    rates = RATES[:1] if quick else RATES
    return [{"rate": rate, "batch_norm": batch_norm} for rate in rates for batch_norm in (False, True)]


def run(setting: Setting, seed: int, data: Data, quick: bool) -> Measured:
    """The percentiles of the typical unit; over all units the range of the median, in both modes, and the saturation.

    The typical unit is, of those of the last hidden layer in the order of the ranges of their medians, the one in the
    middle (of two, the upper one).
    """
    flat = data.flat
    network = dense(
        (flat.features, *HIDDEN, flat.classes),
        np.random.default_rng(seed),
        activation="sigmoid",
        scale=SCALE,
        normalization="batch_norm" if setting["batch_norm"] else None,
    )
    steps = [step for step in STEPS if step <= (100 if quick else STEPS[-1])]
    seen, evaluated, saturated, test = [], [], [], []

    def look() -> None:
        inputs = last_inputs(network, flat.x_test, training=True)
        seen.append(np.percentile(inputs, PERCENTILES, axis=0))
        saturated.append(np.mean(np.abs(inputs) > SATURATED))
        evaluated.append(np.median(last_inputs(network, flat.x_test, training=False), axis=0))
        test.append(network.measured(flat.x_test, flat.y_test).accuracy)

    def watch(step: int, loss: float) -> None:
        if step in steps:
            look()

    look()
    fit(network, SGD(setting["rate"]), flat, batch=BATCH, steps=steps[-1], seed=seed, watch=watch)
    while len(seen) < len(steps):  # the loss was no number any more
        look()
    percentiles = np.array(seen)
    ranges = np.ptp(percentiles[:, PERCENTILES.index(50)], axis=0)
    typical = int(np.argsort(ranges, kind="stable")[len(ranges) // 2])
    return {
        "steps": steps,
        "percentiles": rounded(percentiles[:, :, typical].T, 4),
        "test": rounded(test, 4),
        "saturated": rounded(saturated, 3),
        "range": rounded(ranges[typical], 4),
        "widest": rounded(ranges.max(), 4),
        "evaluated": rounded(np.sort(np.ptp(np.array(evaluated), axis=0))[len(ranges) // 2], 4),
    }


def last_inputs(network: Network, x: Array, *, training: bool) -> Array:
    """What comes into the last activation function, in training or in evaluation; nothing is learned from it.

    Shapes
        x: (N, features); returned: (N, units)
    """
    with network.unchanged():
        for module in network.modules[:-2]:
            x = module.forward(x, training)
    return x


def table(results: Results) -> Table:
    """A row for each rate, without batch norm and with it."""
    rows = []
    for rate in results.settings("rate"):
        for batch_norm in (False, True):
            kind = {"rate": rate, "batch_norm": batch_norm}
            cells = [f"{results.spread(name, **kind).mean:.2f}" for name in ("range", "widest", "evaluated")]
            saturated = f"{100 * worst(results, **kind).mean:.1f} %"
            name = f"{rate:g}, {'with BN' if batch_norm else 'without'}"
            rows.append((name, *cells, saturated, f"{results.values('test', **kind)[:, -1].mean():.3f}"))
    headings = ("rate", "typical range", "widest", "in evaluation", "saturated", "accuracy")
    return Table(headings, tuple(rows))


def worst(results: Results, **kind: float) -> Spread:
    """The largest share of saturated inputs over the steps, seed by seed."""
    return spread(results.values("saturated", **kind).max(axis=1))


def early(results: Results, **kind: float) -> float:
    """The largest share of saturated inputs, over steps and seeds, as long as the accuracy is below `CHANCE`."""
    saturated, test = results.values("saturated", **kind), results.values("test", **kind)
    return float(np.max(saturated, where=test < CHANCE, initial=0))


def sentence(results: Results) -> str:
    """How far the median of the typical input moved at each rate, in both modes, and how much was saturated."""
    said = []
    for rate in results.settings("rate"):
        plain, normal = ({"rate": rate, "batch_norm": batch_norm} for batch_norm in (False, True))
        ranges = [results.spread("range", **kind).text(".2f") for kind in (plain, normal)]
        shares = [f"{100 * worst(results, **kind).high:.1f} %" for kind in (plain, normal)]
        first = f"{100 * early(results, **plain):.1f} %"
        said.append(
            f"At rate {rate:g} the median of the typical input ranges over {ranges[0]} without batch norm, {ranges[1]}"
            f" with it ({results.spread('evaluated', **normal).text('.2f')} by running statistics); at most"
            f" {shares[0]} and {shares[1]} of all inputs are saturated, without it {first} as long as the accuracy is"
            f" below {CHANCE}."
        )
    return " ".join(said)
