"""The bias before batch norm: its gradient, a training without it, and where it walks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from bncheck.case import Array
from bncheck.training.laboratory.data import Data
from bncheck.training.laboratory.experiment import About, Table
from bncheck.training.laboratory.results import Measured, Results, Setting, Spread, rounded, spread
from bncheck.training.networks.architectures import dense
from bncheck.training.networks.modules import ReLU
from bncheck.training.networks.network import Network
from bncheck.training.networks.optimizers import SGD, Adam, Optimizer, RMSprop

ABOUT = About(
    question="Is a bias before batch norm good for anything?",
    source="Ioffe and Szegedy, Batch normalization, 2015, section 3.2, BN(Wu + b) = BN(Wu).",
    limits="Dense layers, no weight decay, and training with the statistics of the batch. A bias that has walked is as"
    " redundant as one that has not, as long as the running mean has followed it.",
)

OPTIMIZERS: Mapping[str, Callable[[], Optimizer]] = MappingProxyType(
    {
        "SGD": lambda: SGD(0.1),
        "RMSprop": lambda: RMSprop(1e-3),
        "Adam ε 1e-7": lambda: Adam(1e-3, eps=1e-7),
        "Adam ε 1e-8": lambda: Adam(1e-3, eps=1e-8),
        "Adam ε 1e-12": lambda: Adam(1e-3, eps=1e-12),
    }
)
"""Adam's ε is 1e-7 in Keras and 1e-8 in PyTorch; with 1e-12 it is next to none."""

PLAIN = ("SGD", "Adam ε 1e-7")
"""With which optimizers networks without batch norm are trained, for comparison."""

HIDDEN = (100,) * 5
BATCH, STEPS, POINTS = 100, 300, 16


ADAM = "Adam ε 1e-7"


def settings(quick: bool) -> list[Setting]:
    """Batch norm in two formats with every optimizer, without it with two, and tanh once; a quick run takes a few."""
    relu = {"activation": "relu"}
    chosen: list[Setting] = [{**relu, "batch_norm": False, "dtype": "float32", "optimizer": name} for name in PLAIN]
    for dtype in ("float32", "float64"):
        chosen += [{**relu, "batch_norm": True, "dtype": dtype, "optimizer": name} for name in OPTIMIZERS]
    chosen.append({"activation": "tanh", "batch_norm": True, "dtype": "float32", "optimizer": ADAM})
    return [setting for setting in chosen if setting["optimizer"] == ADAM] if quick else chosen


def network(setting: Setting, seed: int, features: int, classes: int) -> Network:
    """Five hidden layers, each with a bias."""
    return dense(
        (features, *HIDDEN, classes),
        np.random.default_rng(seed),
        activation=setting["activation"],
        normalization="batch_norm" if setting["batch_norm"] else None,
        dtype=np.dtype(setting["dtype"]),
    )


def without_biases(given: Network) -> Network:
    """The same without the biases of the hidden layers; the last one stays."""
    for module in given.weighted[:-1]:
        del module.parameters["bias"]
    return Network(given.modules)


def run(setting: Setting, seed: int, data: Data, quick: bool) -> Measured:
    """Two networks side by side on the same mini-batches, one with the biases and one without."""
    flat = data.flat
    one, other = (network(setting, seed, flat.features, flat.classes) for _ in range(2))
    other = without_biases(other)
    pairs = [(which, OPTIMIZERS[setting["optimizer"]]()) for which in (one, other)]
    found: dict[str, list[float]] = {"ratio": [], "loss": [], "weights": [], "walk": []}
    parted = None
    batches = flat.batches(BATCH, np.random.default_rng([seed, 1]))
    for step, (x, labels) in zip(range(1, (40 if quick else STEPS) + 1), batches, strict=False):
        losses = [float(which.step(x, labels)) for which, _ in pairs]
        if parted is None and any(np.any(a != b) for a, b in zip(active(one), active(other), strict=True)):
            parted = step
        hidden = one.weighted[:-1]
        ratios = [length(m.gradients["bias"]) / length(m.gradients["weight"]) for m in hidden]
        for which, optimizer in pairs:
            optimizer.step(which)
        apart = [length(a - b) / length(a) for a, b in zip(weights(one), weights(other), strict=True)]
        found["ratio"].append(max(ratios))
        found["loss"].append(abs(losses[0] - losses[1]))
        found["weights"].append(max(apart))
        found["walk"].append(max(mean_square(m.parameters["bias"]) for m in hidden))
    last = rounded(mean_square(one.weighted[-1].parameters["bias"]), 3)
    return {**{name: rounded(largest(curve), 3) for name, curve in found.items()}, "last": last, "parted": parted}


def active(given: Network) -> list[Array]:
    """Which ReLUs let their input through, layer by layer."""
    return [module.y > 0 for module in given.modules if isinstance(module, ReLU)]


def weights(given: Network) -> list[Array]:
    """The weight matrices of a network."""
    return [module.parameters["weight"] for module in given.weighted]


def length(values: Array) -> float:
    """The ℓ2 norm, added up in float64."""
    return float(np.linalg.norm(values.astype(np.float64)))


def mean_square(values: Array) -> float:
    """The root of the mean square."""
    return length(values) / float(np.sqrt(values.size))


def largest(curve: list[float]) -> list[float]:
    """The largest of each of `POINTS` equal parts of a curve; NaN where there is one."""
    return [float(np.max(part)) for part in np.array_split(np.array(curve), POINTS)]


def steps(results: Results) -> Array:
    """The last step of each part."""
    count = 40 if results.quick else STEPS
    return np.array([part[-1] + 1 for part in np.array_split(np.arange(count), POINTS)])


def worst(results: Results, name: str, **setting: object) -> Spread:
    """The largest over the training, over the seeds; infinite where it became no number."""
    values = results.values(name, **setting)
    return spread(np.nan_to_num(values.reshape(len(values), -1).max(axis=1), nan=np.inf))


def table(results: Results) -> Table:
    """A row for each setting: the largest that was seen of each quantity over the training and the seeds."""
    rows = []
    for setting in dict.fromkeys(tuple(run.setting.items()) for run in results.runs):
        given = dict(setting)
        cells = [f"{worst(results, name, **given).high:.1e}" for name in ("ratio", "loss", "weights", "walk", "last")]
        kind = ("BN" if given["batch_norm"] else "none") + (" tanh" if given["activation"] == "tanh" else "")
        rows.append((f"{kind}, {given['dtype']}, {given['optimizer']}", *cells))
    return Table(("normalization", "|∂b|/|∂W|", "Δ loss", "|ΔW|/|W|", "rms b", "last b"), tuple(rows))


def sentence(results: Results) -> str:
    """The gradient in both formats, what leaving the biases out changes, and how far they walk."""
    parts = []
    for dtype in results.settings("dtype", batch_norm=True):
        chosen = {"activation": "relu", "batch_norm": True, "dtype": dtype}
        parts.append(
            f"in {dtype} |∂b| is at most {worst(results, 'ratio', **chosen).high:.1e} of |∂W|, and without these biases"
            f" no loss differs by more than {worst(results, 'loss', **chosen).high:.1e}"
        )
    plain = worst(results, "ratio", batch_norm=False).high
    walks = []
    for optimizer in results.settings("optimizer", batch_norm=True, dtype="float32"):
        chosen = {"activation": "relu", "batch_norm": True, "dtype": "float32", "optimizer": optimizer}
        walks.append(f"{worst(results, 'walk', **chosen).high:.1e} with {optimizer}")
    real = worst(results, "last", activation="relu", batch_norm=True, dtype="float32")
    return (
        f"Before batch norm {'; '.join(parts)}. Without batch norm |∂b| is up to {plain:.2g} of |∂W|. {flips(results)}"
        f" The redundant biases, in float32, walk {', '.join(walks)}; the last layer's, which is not redundant,"
        f" {real.low:.2g}–{real.high:.2g}."
    )


def flips(results: Results) -> str:
    """By how much float32 sets the two networks apart, where rounding switched a ReLU and where it did not."""
    runs = results.where(batch_norm=True, dtype="float32")
    apart = {
        switched: [
            float(np.nan_to_num(np.array(run.measured["weights"], dtype=float), nan=np.inf).max())
            for run in runs
            if (run.measured["parted"] is not None) == switched
        ]
        for switched in (True, False)
    }
    said = [f"In float32 rounding switched a ReLU in {len(apart[True])} of {len(runs)} trainings"]
    said += [f"the weights then differ by up to {max(apart[True]):.1e}"] if apart[True] else []
    said += [f"in the others, tanh among them, by up to {max(apart[False]):.1e}"] if apart[False] else []
    return f"{', '.join(said)}."
