"""Batch norm inserted into a trained network as the identity: the same function, and what its gradient does then."""

from __future__ import annotations

from typing import Any

import numpy as np

from bncheck.case import Array
from bncheck.training.laboratory.data import Data
from bncheck.training.laboratory.experiment import About, Table
from bncheck.training.laboratory.fitting import fit
from bncheck.training.laboratory.results import Measured, Results, Setting, rounded, spread, thinned
from bncheck.training.networks.architectures import dense
from bncheck.training.networks.modules import Linear, Module
from bncheck.training.networks.network import Network
from bncheck.training.networks.normalization import Normalization
from bncheck.training.networks.optimizers import SGD

ABOUT = About(
    question="What changes if batch norm is put in as the identity?",
    source="Ioffe and Szegedy, Batch normalization, 2015, section 3: γ = √Var[x] and β = E[x] would recover the"
    " original activations; with ε it is γ = √(Var[x] + ε).",
    limits="The identity on one batch, here all training images. That networks with batch norm represent more, or train"
    " as those without do, does not follow.",
)

HIDDEN = (100,) * 5
RATE, BATCH = 0.05, 100
RATES, AFTER, SHORT = (0.01, 0.1, 0.5), 40, 6
"""From the same weights gradient descent on all images goes on at these rates, so many steps; quickly, fewer."""

BEFORE = (0, 100, 400)
"""How many steps the network without batch norm was trained before."""

SHOWN = 100
"""The one that is spoken of, and on which float64 is tried, too."""


def settings(quick: bool) -> list[Setting]:
    """Networks that were trained for some steps, in float32; one of them in float64, too."""
    single: list[Setting] = [{"dtype": "float32", "before": before} for before in ((20,) if quick else BEFORE)]
    return [*single, {"dtype": "float64", "before": 20 if quick else SHOWN}]


def with_identities(network: Network, x: Array) -> Network:
    """A copy with batch norm behind every linear map but the last, each the identity on these samples.

    γ = √(σ² + ε) and β = μ, and the running statistics are μ and σ², too.
    """
    modules: list[Module] = []
    for module in network.modules:
        x = module.forward(x, True)
        if not isinstance(module, Linear):
            modules.append(type(module)())
            continue
        modules.append(Linear(module.parameters["weight"].copy(), module.parameters["bias"].copy()))
        if module is not network.weighted[-1]:
            modules.append(identity(x))
    return Network(modules)


def identity(x: Array) -> Normalization:
    """Batch norm that gives back x for this x."""
    norm = Normalization("batch_norm", (x.shape[1],), dtype=x.dtype)
    norm.forward(x, True)
    mean, variance = norm.statistics
    norm.parameters["gamma"][...] = np.sqrt(variance + norm.eps)
    norm.parameters["beta"][...] = mean
    norm.state = {"running_mean": mean, "running_var": variance}
    return norm


def run(setting: Setting, seed: int, data: Data, quick: bool) -> Measured:
    """Both networks' outputs, losses and gradients at the same weights, and the losses of the next steps."""
    flat, dtype = data.flat, np.dtype(setting["dtype"])
    x, labels = flat.x_train.astype(dtype), flat.y_train
    plain = dense((flat.features, *HIDDEN, flat.classes), np.random.default_rng(seed), dtype=dtype)
    fit(plain, SGD(RATE), flat, batch=BATCH, steps=setting["before"], seed=seed)
    normal = with_identities(plain, x)
    evaluated = [network.forward(x, training=False) for network in (plain, normal)]
    batches = [on_batches(network, x, labels) for network in (plain, normal)]
    scores = [network.forward(x, training=True) for network in (plain, normal)]
    losses = [float(network.step(x, labels)) for network in (plain, normal)]
    gradients = [
        [module.gradients["weight"].astype(np.float64) for module in network.weighted] for network in (plain, normal)
    ]
    size = float(np.finfo(dtype).eps * abs(scores[0]).max())
    found: dict[str, Any] = {
        "training": float(abs(scores[1] - scores[0]).max()) / size,
        "evaluation": float(abs(evaluated[1] - evaluated[0]).max()) / size,
        "decided": int((scores[1].argmax(axis=1) != scores[0].argmax(axis=1)).sum()),
        "losses": losses,
        "batches": batches,
        "length": [float(np.linalg.norm(b) / np.linalg.norm(a)) for a, b in zip(*gradients, strict=True)],
        "cosine": [cosine(a, b) for a, b in zip(*gradients, strict=True)],
        "after": [
            [descent(network, x, labels, rate, SHORT if quick else AFTER) for network in (plain, normal)]
            for rate in RATES
        ],
    }
    return {name: rounded(values) for name, values in found.items()}


def on_batches(network: Network, x: Array, labels: Array) -> float:
    """The mean loss on mini-batches, each with its own statistics."""
    return network.measured(x, labels, training=True, batch=BATCH).loss


def cosine(one: Array, other: Array) -> float:
    """Of the angle between two gradients."""
    return float((one * other).sum() / (np.linalg.norm(one) * np.linalg.norm(other)))


def descent(network: Network, x: Array, labels: Array, rate: float, steps: int) -> list[float]:
    """The losses of gradient descent on all images, thinned; afterwards the network is what it was."""
    losses = []
    optimizer = SGD(rate)
    with network.unchanged():
        for _ in range(steps + 1):
            losses.append(float(network.step(x, labels)))
            optimizer.step(network)
    return [losses[k] for k in places(steps)]


def places(steps: int) -> list[int]:
    """Which steps of the descent are kept."""
    return thinned(steps + 1, 21)


def steps(results: Results) -> int:
    """How many steps the descent had."""
    return SHORT if results.quick else AFTER


def drawn(results: Results, before: int = SHOWN) -> Setting:
    """The setting of so many steps before, in float32; where there is none, as in a quick run, the first there is."""
    tried = results.settings("before", dtype="float32")
    return {"dtype": "float32", "before": before if before in tried else tried[0]}


def ends(results: Results, rate: float, **setting: Any) -> Array:
    """The loss after the descent, without batch norm and with it; infinite where it diverged.

    Shapes
        (2, seeds)
    """
    pairs = [[curve[-1] for curve in run.measured["after"][RATES.index(rate)]] for run in results.where(**setting)]
    found: Array = np.nan_to_num(np.array(pairs, dtype=float), nan=np.inf).T
    found[found > DIVERGED] = np.inf
    return found


DIVERGED = 1e4
"""A loss above this counts as none."""


def worded(losses: Array) -> str:
    """Losses over the seeds in words."""
    lost = int(np.isinf(losses).sum())
    return f"diverged with {lost} of {len(losses)} seeds" if lost else spread(losses).text()


def hidden(results: Results, name: str, **setting: Any) -> Array:
    """Of the hidden layers the mean of what was measured, over the seeds."""
    found: Array = results.values(name, **setting)[:, :-1].mean(axis=1)
    return found


def table(results: Results) -> Table:
    """A row for each setting and each rate of the descent; the largest rounding, and means over the seeds."""
    rows = []
    for setting in dict.fromkeys(tuple(run.setting.items()) for run in results.runs):
        given = dict(setting)
        batches = results.values("batches", **given).mean(axis=0)
        same = [f"{results.values(name, **given).max():.1f}" for name in ("training", "evaluation")]
        same += [f"{loss:.3g}" for loss in batches]
        same += [f"{hidden(results, name, **given).mean():.2f}" for name in ("length", "cosine")]
        for k, rate in enumerate(RATES):
            after = [
                "diverged" if np.isinf(loss) else f"{loss:.2g}" for loss in ends(results, rate, **given).mean(axis=1)
            ]
            name = f"{given['dtype']}, {given['before']}"
            rows.append((*((name, *same) if k == 0 else [""] * 7), f"{rate:g}", *after))
    headings = ("start", "train", "eval", "batch", "BN", "|∂W|", "cos", "rate", "after", "BN")
    return Table(headings, tuple(rows))


def sentence(results: Results) -> str:
    """That the function is the same, and that the gradient and the training are not."""
    if not all(np.isfinite(results.values(name)).all() for name in ("losses", "length", "cosine")):
        return "The training before ended in no number, or without a gradient: nothing can be compared."
    apart = max(results.values(name).max() for name in ("training", "evaluation"))
    decided, first = int(results.values("decided").sum()), drawn(results)
    batches = [spread(values) for values in results.values("batches", **first).T]
    lengths, cosines = (spread(hidden(results, name)) for name in ("length", "cosine"))
    after = []
    for rate in RATES:
        plain, normal = ends(results, rate, **first)
        after.append(f"at {rate:g} {worded(plain)} without and {worded(normal)} with it")
    return (
        f"The scores differ by at most {apart:.1f} ε of the largest, in training and in evaluation, and of the answers"
        f" {decided or 'none'}; on mini-batches, where it is no identity, the loss is {batches[0].text()} without and"
        f" {batches[1].text()} with batch norm. The hidden layers' ∂W is {lengths.text('.2f')} times as long with it,"
        f" at a cosine of {cosines.text('.2f')} to that without. The loss after {steps(results)} more steps:"
        f" {'; '.join(after)}."
    )
