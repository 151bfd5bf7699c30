"""How a gradient grows on its way back through many layers with batch norm, against what mean field theory predicts."""

from __future__ import annotations

import math

import numpy as np

from bncheck.case import Array
from bncheck.training.laboratory.data import Data
from bncheck.training.laboratory.experiment import About, Table
from bncheck.training.laboratory.results import Measured, Results, Setting, rounded, spread, thinned
from bncheck.training.networks.modules import ACTIVATIONS, Module
from bncheck.training.networks.normalization import Normalization

ABOUT = About(
    question="Does a gradient explode with batch norm?",
    source="Yang, Pennington, Rao, Sohl-Dickstein and Schoenholz, A mean field theory of batch normalization, 2019:"
    " π/(π − 1) for ReLUs in large batches, (B − 2)/(B − 3) for linear nets; here 1000 units and not infinitely many.",
    limits="Random inputs, random weights, a random gradient at the top, before any training, without skip connections;"
    " few layers show little of it. The theory is of infinite width: at 1000 units linear nets are off by some percent"
    " where batches are smallest and, in 60 layers, by one where they are largest.",
)

WIDTH, DEPTH = 1000, 60
QUICK_WIDTH, QUICK_DEPTH = 100, 24

BATCHES = (4, 8, 16, 32, 128)
LARGE, SMALL = 128, 8
"""Where the paper's two growth factors are held against what was measured: of ReLUs and of linear nets."""


def settings(quick: bool) -> list[Setting]:
    """With batch norm linear nets and ReLUs at each batch size, other functions at the largest; ReLUs without it."""
    batches = (SMALL, LARGE) if quick else BATCHES
    normal = [
        {"activation": name, "batch_norm": True, "batch": batch} for name in ("linear", "relu") for batch in batches
    ]
    others = [{"activation": name, "batch_norm": True, "batch": LARGE} for name in ("tanh", "sigmoid")]
    return [{"activation": "relu", "batch_norm": False, "batch": LARGE}, *normal, *others]


def run(setting: Setting, seed: int, data: Data, quick: bool) -> Measured:
    """|∂ℓ/∂h|² by layer, in units of the last layer's, and its factor from a layer to the one before it."""
    width, depth = (QUICK_WIDTH, QUICK_DEPTH) if quick else (WIDTH, DEPTH)
    found = squares(setting, seed, width, depth)
    chosen = thinned(depth)
    return {
        "layers": [k + 1 for k in chosen],
        "squares": rounded(found[chosen] / found[-1], 5),
        "factor": rounded(growth(found[depth // 6 - 1 :]), 6),
    }


def squares(setting: Setting, seed: int, width: int, depth: int) -> Array:
    """|∂ℓ/∂h|² of every layer, the first one first: h = x W is what batch norm is given, then comes the activation.

    The weights have variance 1/width, where no batch norm follows 2/width; ε is 0, and batch norm has no γ and β.
    """
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((setting["batch"], width), dtype=np.float32)
    scale = np.float32(((1 if setting["batch_norm"] else 2) / width) ** 0.5)
    passed: list[tuple[Array, list[Module]]] = []
    for _ in range(depth):
        weight = scale * rng.standard_normal((width, width), dtype=np.float32)
        layer = _layer(setting, width)
        x = x @ weight
        for module in layer:
            x = module.forward(x, training=True)
        passed.append((weight, layer))
    gradient = rng.standard_normal(x.shape, dtype=np.float32)
    found = []
    for weight, layer in reversed(passed):
        for module in reversed(layer):
            gradient = module.backward(gradient)
        found.append(np.square(gradient, dtype=np.float64).sum())
        gradient = gradient @ weight.T
    return np.array(found[::-1])


def _layer(setting: Setting, width: int) -> list[Module]:
    activation = ACTIVATIONS[setting["activation"]]()
    if not setting["batch_norm"]:
        return [activation]
    return [Normalization("batch_norm", (width,), eps=0, affine=False, dtype=np.float32), activation]


def growth(values: Array) -> float:
    """The factor from a layer to the one before it: the slope of the logarithm, by least squares."""
    layers = np.arange(len(values))
    if not (np.isfinite(values) & (values > 0)).all():
        return math.nan
    return float(np.exp(-np.polyfit(layers, np.log(values), 1)[0]))


def predicted(activation: str, batch: float) -> float:
    """The paper's factor: of a linear net at every batch size above 3, of ReLUs in the limit of large batches."""
    return math.pi / (math.pi - 1) if activation == "relu" else (batch - 2) / (batch - 3)


def table(results: Results) -> Table:
    """A row for each network and batch size: the factor, its spread and what was predicted."""
    rows = []
    kinds = [(bool(run.setting["batch_norm"]), str(run.setting["activation"])) for run in results.runs]
    for batch_norm, activation in dict.fromkeys(kinds):
        for batch in results.settings("batch", activation=activation, batch_norm=batch_norm):
            found = results.spread("factor", activation=activation, batch_norm=batch_norm, batch=batch)
            name = f"{'ReLU' if activation == 'relu' else activation}{' with BN' if batch_norm else ', He'}"
            seen = (f"{found.mean:.4f}", f"{found.low:.4f}–{found.high:.4f}")
            rows.append((name, str(batch), *seen, _said(activation, batch, batch_norm)))
    return Table(("network", "batch", "factor of |∂ℓ/∂h|²", "over the seeds", "predicted"), tuple(rows))


def _said(activation: str, batch: int, batch_norm: bool) -> str:
    if not batch_norm:
        return "1"
    if activation == "relu":
        return f"{predicted(activation, batch):.4f} (large B)"
    return f"{predicted(activation, batch):.4f}" if activation == "linear" else "–"


def sentence(results: Results) -> str:
    """The growth per layer of either network against its prediction, and what it comes to."""
    relu, plain = (
        results.spread("factor", activation="relu", batch_norm=batch_norm, batch=LARGE) for batch_norm in (True, False)
    )
    least = min(results.settings("batch", activation="linear", batch_norm=True))
    linear = ", and ".join(_linear(results, batch) for batch in dict.fromkeys((SMALL, least)))
    whole = spread(results.values("squares", activation="relu", batch_norm=True, batch=LARGE)[:, 0])
    last = results.values("layers")[:, -1].max()
    others = [results.spread("factor", activation=name, batch_norm=True).text(".3f") for name in ("tanh", "sigmoid")]
    return (
        "With batch norm the squared gradient grows from each layer to the one before it by a factor of"
        f" {relu.text('.4f')} with ReLUs and batches of {LARGE}, predicted {predicted('relu', LARGE):.4f} for large"
        f" ones; in a linear net {linear}; with tanh {others[0]}, with sigmoids {others[1]}. Over {last:.0f} layers of"
        f" ReLUs that makes {whole.text('.1e')}. Without batch norm and with He's weights the factor is"
        f" {plain.text('.4f')}."
    )


def _linear(results: Results, batch: int) -> str:
    found = results.spread("factor", activation="linear", batch_norm=True, batch=batch)
    return f"{found.text('.4f')} at batches of {batch}, predicted {predicted('linear', batch):.4f}"
