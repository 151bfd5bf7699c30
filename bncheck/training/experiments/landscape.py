"""How far a gradient can be trusted: the loss and the gradient along it, at equal loss, without batch norm and with."""

from __future__ import annotations

from typing import Any, NamedTuple

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
    question="How far can a gradient be trusted?",
    source="Santurkar, Tsipras, Ilyas and Madry, How does batch normalization help optimization?, 2018, figure 4;"
    " five layers of 100 units instead of VGG, and compared at equal loss, not after equally many steps.",
    limits="One direction, the gradient's, at few points of one training at one rate. Smoother there is not smoother"
    " everywhere, and does not yet explain why a network learns faster.",
)

KINDS = (("relu", 0.1), ("sigmoid", 0.1), ("sigmoid", 1.0))
"""The networks, and the rate at which each is trained. Without batch norm ReLUs learn nothing at 1."""

SCALES: dict[str, float | str] = {"relu": "he", "sigmoid": 0.4}
"""Initial weights. Sigmoids with smaller ones stay for hundreds of steps at the loss of guessing."""

LEVELS = (2.0, 1.0, 0.5, 0.25, 0.1)
"""Where it is measured: as soon as the loss on all training images, with their own statistics, is no larger."""

SHOWN_LEVEL = 1.0
"""The level of which the whole curve is kept."""

HIDDEN = (100,) * 5
BATCH, STEPS = 100, 3000

RANGE = tuple(2 ** (k / 2) for k in range(-2, 5))
"""Steps along the gradient in units of the rate, 1/2 to 4 as in the paper."""

WAY = tuple(2.0**k for k in range(-9, 5))
"""Steps along the gradient for the curves, in no units: θ goes to θ − step · g."""


def settings(quick: bool) -> list[Setting]:
    """Each kind of network without batch norm and with it; a quick run leaves one kind out."""
    kinds = KINDS[::2] if quick else KINDS
    return [{"activation": kind, "rate": rate, "batch_norm": bn} for kind, rate in kinds for bn in (False, True)]


class Walk(NamedTuple):
    """What is met along a gradient g."""

    norm: float
    """|g|."""
    change: Array
    """By how much the loss is higher after each step."""
    distance: Array
    """|g′ − g|, g′ the gradient there: the paper's predictiveness."""
    beta: Array
    """|g′ − g| / (step · |g|): the paper's effective smoothness."""


def walk(network: Network, x: Array, labels: Array, steps: tuple[float, ...]) -> Walk:
    """Goes from where the network is along its gradient, and back."""
    losses, distances = [], []
    with network.unchanged():
        values, start = network.values.copy(), float(network.step(x, labels))
        gradient = network.gradient()
        for step in steps:
            network.values[:] = values - step * gradient
            losses.append(float(network.step(x, labels)))
            distances.append(length(network.gradient() - gradient))
    size = length(gradient)
    return Walk(size, np.array(losses) - start, np.array(distances), np.array(distances) / (np.array(steps) * size))


def length(vector: Array) -> float:
    """Its ℓ2 norm, added up in float64."""
    return float(np.linalg.norm(vector.astype(np.float64)))


def run(setting: Setting, seed: int, data: Data, quick: bool) -> Measured:
    """At each level the worst along the gradient of all images, and β along that of each mini-batch, averaged."""
    flat, rate = data.flat, setting["rate"]
    x, labels = flat.x_train, flat.y_train
    network = dense(
        (flat.features, *HIDDEN, flat.classes),
        np.random.default_rng(seed),
        activation=setting["activation"],
        scale=SCALES[setting["activation"]],
        normalization="batch_norm" if setting["batch_norm"] else None,
    )
    parts = [slice(start, start + BATCH) for start in range(0, len(x) - BATCH + 1, BATCH)][: 2 if quick else None]
    steps = tuple(rate * step for step in RANGE)
    levels = LEVELS[: 2 if quick else None]
    found: list[dict[str, Any]] = []

    def on_batches(way: tuple[float, ...]) -> Array:
        return np.array([walk(network, x[part], labels[part], way).beta for part in parts])

    def here(step: int, loss: float) -> dict[str, Any]:
        whole = walk(network, x, labels, steps)
        worst = {name: getattr(whole, name).max() for name in ("change", "distance", "beta")}
        return {"step": step, "loss": loss, **worst, "batch_beta": on_batches(steps).max(axis=1).mean()}

    def curves() -> dict[str, Any]:
        whole = walk(network, x, labels, WAY)
        return {"changes": whole.change, "betas": whole.beta, "batch_betas": on_batches(WAY).mean(axis=0)}

    kept: dict[str, Any] = {"changes": None, "betas": None, "batch_betas": None}

    def watch(step: int, loss: float) -> bool:
        if step > 100 and step % 5:
            return False
        loss = network.measured(x, labels, training=True).loss
        reached = [level for level in levels[len(found) :] if loss <= level]
        if SHOWN_LEVEL in reached:
            kept.update(curves())
        if reached:
            found.extend([here(step, loss)] * len(reached))
        return len(found) == len(levels)

    fit(network, SGD(rate), flat, batch=BATCH, steps=28 if quick else STEPS, seed=seed, watch=watch)
    missing = [None] * (len(LEVELS) - len(found))
    by_level = {name: [*(one[name] for one in found), *missing] for name in MEASURED}
    return {name: rounded(values, 4) for name, values in (by_level | kept).items()}


MEASURED = ("step", "loss", "change", "distance", "beta", "batch_beta")


def at(results: Results, name: str, kind: tuple[str, float], *, batch_norm: bool) -> dict[float, Array]:
    """What was measured at each level, over the seeds; NaN where a run never came there."""
    values = results.values(name, activation=kind[0], rate=kind[1], batch_norm=batch_norm)
    return {level: values[:, k] for k, level in enumerate(LEVELS)}


def kinds(results: Results) -> list[tuple[str, float]]:
    """The kinds of networks that were trained."""
    return [kind for kind in KINDS if results.where(activation=kind[0], rate=kind[1])]


def cell(values: Array, form: str = ".2g") -> str:
    """The mean over the seeds, a dash where a run did not come there."""
    return format(values.mean(), form) if np.isfinite(values).all() else "–"


SHOWN = (
    ("change", "+.2g", "change"),
    ("distance", ".2g", "|Δg|"),
    ("beta", ".2g", "β"),
    ("batch_beta", ".2g", "β, batch"),
)
"""What the table holds: the quantity, its format, its heading."""


def table(results: Results) -> Table:
    """A row for each kind of network and level; for each quantity without batch norm and with it."""
    rows = []
    for kind in kinds(results):
        pairs = [[at(results, name, kind, batch_norm=bn) for bn in (False, True)] for name, *_ in SHOWN]
        for level in LEVELS:
            cells = [cell(one[level], form) for pair, (_, form, _) in zip(pairs, SHOWN, strict=True) for one in pair]
            rows.append((f"{kind[0]} {kind[1]:g}", f"{level:g}", *cells))
    headings = [heading for *_, words in SHOWN for heading in (words, "BN")]
    return Table(("net, rate", "loss", *headings), tuple(rows))


def ratio(results: Results, name: str, kind: tuple[str, float], level: float) -> Spread | None:
    """By what it is larger without batch norm, seed by seed; None where a run did not come to that level."""
    plain, normal = (at(results, name, kind, batch_norm=bn)[level] for bn in (False, True))
    return spread(plain / normal) if np.isfinite(plain / normal).all() else None


def nearby(results: Results, kind: tuple[str, float]) -> Spread | None:
    """The same of β with the smallest step of all, on all images, where the loss first fell to 1."""
    plain, normal = (curve(results, "betas", kind, batch_norm=bn) for bn in (False, True))
    if plain is None or normal is None or not np.isfinite(plain[:, 0] / normal[:, 0]).all():
        return None
    return spread(plain[:, 0] / normal[:, 0])


def curve(results: Results, name: str, kind: tuple[str, float], *, batch_norm: bool) -> Array | None:
    """A curve over `WAY`, seed by seed; None where a run did not come to that level."""
    runs = results.where(activation=kind[0], rate=kind[1], batch_norm=batch_norm)
    curves = [run.measured[name] for run in runs]
    return np.array(curves, dtype=float) if curves and None not in curves else None


def rises_more(results: Results) -> list[str]:
    """Where the loss rises along the gradient, and *more* with batch norm, with every seed."""
    found = []
    for kind in kinds(results):
        plain, normal = (at(results, "change", kind, batch_norm=bn) for bn in (False, True))
        levels = [f"{level:g}" for level in LEVELS if np.all(normal[level] > np.maximum(plain[level], 0))]
        found += [f"{called(kind)} at a loss of {' and '.join(levels)}"] if levels else []
    return found


def called(kind: tuple[str, float]) -> str:
    """A kind of network in words."""
    return f"{ {'relu': 'ReLUs', 'sigmoid': 'sigmoids'}[kind[0]] } at rate {kind[1]:g}"


def sentence(results: Results) -> str:
    """By what β is larger without batch norm at a loss of 1, counted in three ways, and where the loss rises less."""
    parts = []
    for kind in kinds(results):
        ways = {
            "on all images": ratio(results, "beta", kind, SHOWN_LEVEL),
            "on mini-batches": ratio(results, "batch_beta", kind, SHOWN_LEVEL),
            f"on all images with a step of {WAY[0]:.1g}": nearby(results, kind),
        }
        said = [f"{found.text('.2g')} {way}" for way, found in ways.items() if found is not None]
        parts.append(f"{called(kind)}: {', '.join(said) or 'not every run came there'}")
    return (
        f"How many times as large β is without batch norm, at a loss of {SHOWN_LEVEL:g}. {'; '.join(parts)}. With batch"
        f" norm the loss rises more with every seed: {'; '.join(rises_more(results)) or 'nowhere'}."
    )
