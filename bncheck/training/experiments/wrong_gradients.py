"""Every bug of the catalogue as what a network trains with: which of them can a learning curve tell?"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from bncheck.layers import LAYERS
from bncheck.training.laboratory.data import Data
from bncheck.training.laboratory.experiment import About, Table
from bncheck.training.laboratory.fitting import fit
from bncheck.training.laboratory.results import Measured, Results, Setting, Spread, rounded, spread
from bncheck.training.networks.architectures import convolutional, dense
from bncheck.training.networks.network import Network
from bncheck.training.networks.normalization import LAYOUTS, MODES
from bncheck.training.networks.optimizers import SGD

if TYPE_CHECKING:
    from bncheck.bugs.catalogue.bug import Bug

ABOUT = About(
    question="Which wrong gradients can be seen in a learning curve?",
    source="The catalogue of bncheck, each bug planted in every normalization of a network, in two depths.",
    limits="A small task, 200 steps, no tuning. That a bug does not show here does not mean that it does no harm"
    " elsewhere; that one trains does not make it right.",
)

RATE, BATCH, STEPS, WINDOWS = 0.1, 100, 200, 10
NONE = "none"
"""The bug of correct code."""

NETS = {
    "dense": {"batch_norm": (3, 10), "layer_norm": (3, 10)},
    "images": {"batch_norm": (2, 4), "instance_norm": (2, 4)},
}
"""The networks, by the layer in them, with their depths: hidden layers of 100 ReLUs, or convolutions."""


SHORT = {"batch_norm": "BN", "layer_norm": "LN", "instance_norm": "IN"}


def catalogue() -> list[Bug]:
    """Every bug that is planted."""
    from bncheck.bugs.catalogue import BUGS

    return [bug for bug in BUGS.values() if bug.planted]


def room(bug: Bug) -> tuple[str, str] | None:
    """The first network in which a bug can make a difference; none, for one that is in what no training asks for.

    Of evaluation that is the forward pass alone: its backward pass is never run.
    """
    from bncheck.bugs.edits import FORWARD

    for net, layers in NETS.items():
        for layer in layers:
            layout = LAYOUTS[layer][2 if net == "dense" else 4]
            training, evaluation = (LAYERS[mode] for mode in MODES.get(layer, (layer, layer)))
            read = [edit for edit in bug.edits(evaluation, layout, evaluation.parameters)[:1] if edit.side == FORWARD]
            if bug.effect or bug.edits(training, layout, training.parameters) or read:
                return net, layer
    return None


def settings(quick: bool) -> list[Setting]:
    """Every bug in both depths, after the right code of each network."""
    homes = {bug.id: room(bug) for bug in catalogue()}
    used = dict.fromkeys(home for home in homes.values() if home)
    pairs = [*((NONE, home) for home in used), *((name, home) for name, home in homes.items() if home)]
    return [
        {"bug": name, "net": net, "layer": layer, "depth": depth}
        for name, (net, layer) in (pairs[:12] if quick else pairs)
        for depth in NETS[net][layer]
    ]


def untrained() -> list[str]:
    """The bugs in what no training asks for: forward mode, the second order, gradients of statistics, of evaluation."""
    return [bug.id for bug in catalogue() if room(bug) is None]


def network(setting: Setting, seed: int, data: Data) -> Network:
    """The network, with the bug in it."""
    rng = np.random.default_rng(seed)
    if setting["net"] == "dense":
        sizes = (data.features, *(100,) * setting["depth"], data.classes)
        right = dense(sizes, rng, normalization=setting["layer"])
    else:
        channels = (4, 4, 8, 8)[: setting["depth"]]
        right = convolutional(
            data.shape,
            data.classes,
            rng,
            normalization=setting["layer"],
            activation="relu",
            channels=channels,
            units=32,
        )
    if setting["bug"] == NONE:
        return right
    from bncheck.training.networks.planted import planted

    return planted(right, next(bug for bug in catalogue() if bug.id == setting["bug"]))


def run(setting: Setting, seed: int, data: Data, quick: bool) -> Measured:
    """Accuracy on the test data at the end, and the loss, averaged over windows of steps; or where it broke off."""
    chosen = data.flat if setting["net"] == "dense" else data
    trained = network(setting, seed, data)
    place = "training"
    try:
        losses = fit(trained, SGD(RATE), chosen, batch=BATCH, steps=5 if quick else STEPS, seed=seed)
        place = "evaluation"
        test = trained.measured(chosen.x_test, chosen.y_test)
    except ValueError:  # shapes that do not go together
        return {"broke off": place, "test": None, "loss": []}
    windows = [np.mean(window) for window in np.array_split(losses, WINDOWS) if len(window)]
    return {"broke off": "", "test": rounded(test.accuracy, 4), "loss": rounded(windows, 3)}


def outcomes(results: Results, bug: str) -> dict[int, Spread | None]:
    """The test accuracy over the seeds by depth, the less deep first; none where it broke off."""
    found: dict[int, Spread | None] = {}
    for depth in results.settings("depth", bug=bug):
        runs = results.where(bug=bug, depth=depth)
        broken = any(run.measured["broke off"] for run in runs)
        found[depth] = None if broken else spread(run.measured["test"] for run in runs)
    return found


def told(results: Results, bug: str, depth: int) -> bool:
    """Whether the bug shows: it breaks off, or costs more accuracy than half of what the seeds differ by in both."""
    found, correct = outcomes(results, bug)[depth], right(results, bug, depth)
    if found is None:
        return True
    return correct.mean - found.mean > (correct.high - correct.low + found.high - found.low) / 2


def right(results: Results, bug: str, depth: int) -> Spread:
    """The test accuracy of the right code in the same network."""
    home = results.where(bug=bug, depth=depth)[0].setting
    runs = results.where(bug=NONE, depth=depth, net=home["net"], layer=home["layer"])
    return spread(run.measured["test"] for run in runs)


def bugs(results: Results) -> list[str]:
    """The bugs that were trained with; first the one that costs most, both depths added up."""
    names = [name for name in results.settings("bug") if name != NONE]
    return sorted(names, key=partial(_cost, results), reverse=True)


def _cost(results: Results, bug: str) -> float:
    found = outcomes(results, bug)
    return sum(1.0 if o is None else right(results, bug, depth).mean - o.mean for depth, o in found.items())


def hidden(results: Results, deep: bool) -> list[str]:
    """The bugs that do not show, in the deeper networks or in the others."""
    return [bug for bug in bugs(results) if not told(results, bug, list(outcomes(results, bug))[deep])]


def table(results: Results) -> Table:
    """The right code, then a row for each bug."""
    rows: list[tuple[str, ...]] = []
    for home in dict.fromkeys((run.setting["net"], run.setting["layer"]) for run in results.where(bug=NONE)):
        net, layer = home
        depths = results.settings("depth", bug=NONE, net=net, layer=layer)
        cells = [_cell(spread(results.values("test", bug=NONE, net=net, layer=layer, depth=d))) for d in depths]
        rows.append(("correct", f"{net} {SHORT[layer]}", cells[0], "", cells[1], ""))
    for bug in bugs(results):
        setting = results.where(bug=bug)[0].setting
        cells = []
        for depth, found in outcomes(results, bug).items():
            cells += [_cell(found), "told" if told(results, bug, depth) else "-"]
        rows.append((bug, f"{setting['net']} {SHORT[setting['layer']]}", *cells))
    return Table(("bug", "in", "shallow", "", "deep", ""), tuple(rows))


def _cell(found: Spread | None) -> str:
    return "broke off" if found is None else f"{found.mean:.3f}"


def sentence(results: Results) -> str:
    """How many bugs no learning curve tells."""
    count = len(bugs(results))
    few, many = (hidden(results, deep) for deep in (False, True))
    both = len(set(few) & set(many))
    return (
        f"Of {count} bugs {len(few)} cannot be told from the correct code in the shallow networks, {len(many)} in the"
        f" deep ones, {both} in both: what they cost on average is within what the seeds differ by."
        f" {len(untrained())} more are in what no training asks for: forward mode, the second order, gradients of"
        " statistics or of evaluation."
    )
