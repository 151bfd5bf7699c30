"""Files of planted bugs, in classes for NumPy or autograd functions for torch, for the whole of `bncheck check`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.plants import SHAPES, Plant
from bncheck.examination.files import check_target
from bncheck.results import TargetReport

HEAD = """
from functools import partial
import numpy as np
from bncheck.case import Case
from bncheck.layers import LAYERS
from bncheck.bugs.catalogue import BUGS
from bncheck.bugs.catalogue.bug import correct

LAYER = LAYERS["{home}"]

def case_of(x, dy, gamma, beta, eps):
    layout = next(layout for layout in LAYER.layouts if len(layout.axes) == x.ndim)
    return Case(layout, x, dy, {{"gamma": gamma, "beta": beta}}, eps)
"""

NUMPY = """
class {name}:
    answer = staticmethod(partial({function}, layer=LAYER))

    def __init__(self, gamma, beta, eps=1e-5):
        self.gamma, self.beta, self.eps = gamma, beta, eps

    def forward(self, x):
        self.x = x.copy()
        {habit}
        return self.answer(case_of(self.x, self.x, self.gamma, self.beta, self.eps))["y"]

    def backward(self, dy):
        found = self.answer(case_of(self.x, dy, self.gamma, self.beta, self.eps))
        self.dgamma, self.dbeta = found["dgamma"], found["dbeta"]
        return found["dx"]
"""

TORCH = """
import torch

class {name}(torch.autograd.Function):
    answer = staticmethod(partial({function}, layer=LAYER))

    @staticmethod
    def forward(context, x, gamma, beta, eps):
        context.given = [tensor.detach().numpy().copy() for tensor in (x, gamma, beta)]
        context.eps, kept = eps, context.given[0]
        return torch.from_numpy({name}.answer(case_of(kept, kept, *context.given[1:], eps))["y"])

    @staticmethod
    def backward(context, dy):
        x, gamma, beta = context.given
        found = {name}.answer(case_of(x, dy.numpy(), gamma, beta, context.eps))
        return (*(torch.from_numpy(found[name]) for name in ("dx", "dgamma", "dbeta")), None)
"""

KINDS = {"NumPy": NUMPY, "torch": TORCH}

HOMES = ("batch_norm", "layer_norm")
"""The layers that a file is written for; what the other plants are in is no file's gradient."""

NO_BUG = ("per-activation",)
"""What is a bug in one layout, and the layer itself in another, which a file may mean."""


def fits(plant: Plant, kind: str) -> bool:
    """Whether a plant can be written in this way; correct code is, once for each layer."""
    if plant.home not in HOMES or plant.name in NO_BUG:
        return False
    if plant.mutant is None:
        return plant.name == "stage by stage"
    return kind == "NumPy" or any(plant.fits(shape) and plant.fits_autograd(shape) for shape in SHAPES)


def examined(plants: Iterable[Plant], kind: str, home: str) -> Mapping[Plant, TargetReport]:
    """The report on each of these plants of one layer, all written into one file."""
    classes = {_class_name(plant): plant for plant in plants}
    text = HEAD.format(home=home) + "".join(_source(plant, kind) for plant in classes.values())
    with TemporaryDirectory() as folder:
        file = Path(folder, "planted.py")
        file.write_text(text, encoding="utf-8")
        reports = check_target(str(file), layer=home)
    return {classes[report.target.rpartition(":")[2]]: report for report in reports}


def _source(plant: Plant, kind: str) -> str:
    writes = plant.mutant is not None and plant.mutant.effect == "input"
    function = "correct" if plant.mutant is None or writes else f"BUGS[{plant.name!r}].vjp"
    return KINDS[kind].format(name=_class_name(plant), function=function, habit="x -= 1" if writes else "pass")


def _class_name(plant: Plant) -> str:
    return "".join(word.capitalize() for word in plant.name.replace("-", " ").split())
