"""How fast sigmoids learn at four scales and rates, and how large a rate ReLUs bear; without batch norm and with it."""

from __future__ import annotations

import numpy as np

from bncheck.case import Array
from bncheck.training.laboratory.data import Data
from bncheck.training.laboratory.experiment import About, Table
from bncheck.training.laboratory.fitting import fit
from bncheck.training.laboratory.results import Measured, Results, Setting, rounded, spread
from bncheck.training.networks.architectures import dense
from bncheck.training.networks.optimizers import SGD

ABOUT = About(
    question="Does batch norm allow higher learning rates?",
    source="Ioffe and Szegedy, Batch Normalization, 2015, figure 1 a: three hidden layers of 100 sigmoids, batches of"
    " 60, SGD; they do not tell the scale and the rate, so here are two of each. The ladder of rates is ours; theirs"
    " (section 4.2) is of an Inception network.",
    limits="Steps are counted, not time: one with batch norm costs about twice as much in networks so small. That a"
    " higher rate is possible does not say that it is better, nor why it is possible.",
)

SIGMOIDS = tuple((scale, rate) for scale in (0.1, 0.01) for rate in (0.1, 1.0))
"""Standard deviations of the initial weights, and rates, of the networks of sigmoids."""

LADDER = tuple(float(f"{10 ** (k / 2):.3g}") for k in range(-6, 4))
"""Rates from 0.001 to 31.6 in half decades, for the networks of ReLUs."""

HIDDEN, BATCH = (100,) * 3, 60
LONGEST, STEPS = 5000, 500
"""How many steps sigmoids may take to reach `GOOD`, and how many ReLUs take in any case."""

EVERY, GOOD = 20, 0.9
"""So often the accuracy on the test data is looked at; from there on a network counts as having learned."""


def settings(quick: bool) -> list[Setting]:
    """Sigmoids, then the ladder; a quick run takes one network of sigmoids and every third rate."""
    sigmoids = [{"activation": "sigmoid", "scale": scale, "rate": rate} for scale, rate in SIGMOIDS]
    ladder = [{"activation": "relu", "scale": "he", "rate": rate} for rate in LADDER]
    chosen = [sigmoids[1], *ladder[::3]] if quick else [*sigmoids, *ladder]
    return [{**setting, "batch_norm": batch_norm} for setting in chosen for batch_norm in (False, True)]


def run(setting: Setting, seed: int, data: Data, quick: bool) -> Measured:
    """The step by which the accuracy on the test data is `GOOD`, where training of sigmoids ends, and the last one."""
    flat = data.flat
    network = dense(
        (flat.features, *HIDDEN, flat.classes),
        np.random.default_rng(seed),
        activation=setting["activation"],
        scale=setting["scale"],
        normalization="batch_norm" if setting["batch_norm"] else None,
    )
    race = setting["activation"] == "sigmoid"
    reached: list[int] = []

    def watch(step: int, loss: float) -> bool:
        looked = step % EVERY == 0 and not reached
        if looked and network.measured(flat.x_test, flat.y_test).accuracy >= GOOD:
            reached.append(step)
        return race and bool(reached)

    steps = 40 if quick else LONGEST if race else STEPS
    fit(network, SGD(setting["rate"]), flat, batch=BATCH, steps=steps, seed=seed, watch=watch)
    test = network.measured(flat.x_test, flat.y_test).accuracy
    return {"reached": reached[0] if reached else None, "test": rounded(test, 4)}


def sigmoids(results: Results) -> list[Setting]:
    """The scales and rates that sigmoids were trained at."""
    kept = [{"scale": run.setting["scale"], "rate": run.setting["rate"]} for run in results.where(activation="sigmoid")]
    return [setting for k, setting in enumerate(kept) if setting not in kept[:k]]


def arrivals(results: Results, *, batch_norm: bool, **setting: float) -> Array:
    """The step by which each seed of a network of sigmoids was good, NaN if none."""
    return results.values("reached", activation="sigmoid", batch_norm=batch_norm, **setting)


def ladder(results: Results, *, batch_norm: bool) -> dict[float, Array]:
    """The accuracy of networks of ReLUs on the test data at the end, seed by seed, by rate."""
    return {
        rate: results.values("test", activation="relu", rate=rate, batch_norm=batch_norm)
        for rate in results.settings("rate", activation="relu")
    }


def largest(results: Results, *, batch_norm: bool) -> float | None:
    """The largest rate of the ladder that works: good at the end with every seed."""
    working = [rate for rate, test in ladder(results, batch_norm=batch_norm).items() if test.min() >= GOOD]
    return max(working, default=None)


def table(results: Results) -> Table:
    """A row for each network and rate."""
    rows = []
    for setting in sigmoids(results):
        steps = [_steps(arrivals(results, batch_norm=bn, **setting)) for bn in (False, True)]
        rows.append((f"sigmoid, {setting['scale']:g}", f"{setting['rate']:g}", *steps, "", ""))
    for rate in results.settings("rate", activation="relu"):
        kinds = [{"activation": "relu", "rate": rate, "batch_norm": bn} for bn in (False, True)]
        steps = [_steps(results.values("reached", **kind)) for kind in kinds]
        rows.append(
            ("ReLU, He", f"{rate:g}", *steps, *(f"{results.spread('test', **kind).mean:.3f}" for kind in kinds))
        )
    return Table(("network", "rate", "steps to 90 %", "with BN", "at the end", "with BN"), tuple(rows))


def _steps(reached: Array) -> str:
    """After how many steps all seeds were there, or how many were."""
    there = np.isfinite(reached)
    if there.all():
        return spread(reached).text(".0f")
    return f"{there.sum()} of {len(there)} seeds" if there.any() else "never"


def sentence(results: Results) -> str:
    """How soon sigmoids are there, how high a rate ReLUs bear, and how they end at their best rate and at the least."""
    plain, normal = (_arrival(results, batch_norm=bn) for bn in (False, True))
    said = f"With batch norm sigmoids reach 90 % {normal}; without it {plain}."
    rates = [largest(results, batch_norm=bn) for bn in (False, True)]
    named = ["none" if rate is None else f"{rate:g}" for rate in rates]
    said += f" The largest rate at which ReLUs work with every seed is {named[1]} with batch norm, {named[0]} without."
    ends = [[spread(test) for test in ladder(results, batch_norm=bn).values()] for bn in (True, False)]
    best = " and ".join(max(found, key=lambda end: end.mean).text(".3f") for found in ends)
    first = " and ".join(found[0].text(".3f") for found in ends)
    least = min(results.settings("rate", activation="relu"))
    return f"{said} Each at its best rate, they end at {best}; at the smallest, {least:g}, at {first}."


def _arrival(results: Results, *, batch_norm: bool) -> str:
    """In how many settings every seed of sigmoids came to be good, and after how many steps those that did."""
    found = [arrivals(results, batch_norm=batch_norm, **setting) for setting in sigmoids(results)]
    whole = [reached for reached in found if np.isfinite(reached).all()]
    said = f"in {len(whole)} of {len(found)} settings"
    if not whole:
        return said
    low, _, high = spread(np.concatenate(whole))
    return f"{said}, after {low:.0f}–{high:.0f} steps"
