"""The catalogue of planted bugs: each a small change of one correct implementation, as found in real code.

A check is worth as much as the bugs it catches. The campaign plants every mutant in every case and reports which ones
it would have caught; a case that cannot tell the essential ones from the truth is vacuous.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from bncheck.bugs import staged
from bncheck.bugs.staged import Backward, Forward, Mode
from bncheck.case import Array, Case, Enclosure, Gradients
from bncheck.layers import LAYERS, Layer
from bncheck.tangents import tangent_of

BATCH_NORM = LAYERS["batch_norm"]

RIGHT: Mapping[str, str] = MappingProxyType(
    {
        "dx": "dx = (dx̂{mean}{variance})/s",
        "dxhat": "dx̂ = γ·dy",
        "dgamma": "dγ = Σ dy·x̂",
        "dbeta": "dβ = Σ dy",
        "y": "y = γ·x̂⟦ + β⟧",
        "xhat": "x̂ = {deviation}/s",
        "s": "s = √({var} + ε)",
        "mean": "μ, σ² over every axis of a group, and over no other",
        "var": "{var} = mean {deviation}²",
        "dvar": "d{var} = Σ dx̂·{deviation}·(−½)({var} + ε)^(−3/2)",
        "running_mean": "R′ = R + w·(μ − R)",
        "running_var": "V′ = V + w·(σ²·m/(m − d) − V)",
        "jvp": "ẏ = γ̇·x̂ + γ·(ẋ{mean_dot}{variance_dot})/s + β̇",
        "second": "d(dx), every factor of dx moved in turn",
    }
)
"""The formulas of the layers; dx̂ is γ·dy, and what a mode lacks is left out by `Mutant.formulas`."""


@dataclass(frozen=True)
class Mutant:
    """One bug: what is wrong in words and as a formula, how to fix it, and which dials plant it.

    `right` names the formula that it changes, `got` is what it computes instead. `shows` are the returned names in
    which it shows, as batch norm names them; `needs` says what a layer and a case must have for it to be a bug, see
    `traits`. An `effect` is not in the answer's values: it changes the caller's input or state, or the dtype.
    """

    id: str
    words: str
    right: str
    got: str
    fix: str
    shows: frozenset[str]
    needs: frozenset[str] = frozenset()
    forward_dials: Forward = Forward()  # noqa: RUF009
    backward_dials: Backward = Backward()  # noqa: RUF009
    effect: str = ""

    def forward(self, case: Case, layer: Layer = BATCH_NORM) -> Gradients:
        """What the layer with this bug returns: y, and statistics where the layer has them."""
        return _rounded(staged.returned(layer, staged.forward(layer, case.widened(), self.forward_dials)), case)

    def vjp(self, case: Case, layer: Layer = BATCH_NORM) -> Gradients:
        """What the layer with this bug returns, and every gradient: a black box like any oracle or suspect."""
        found = _rounded(staged.vjp(layer, case.widened(), self.forward_dials, self.backward_dials), case)
        if self.effect == "input":
            np.subtract(case.x, 1, out=case.x)
        if self.effect == "state":
            for value in case.state.values():
                np.multiply(value, 0.9, out=value)
        if self.effect == "dtype":
            other = np.float32 if case.dtype == np.float64 else np.float64
            found = {name: value.astype(other) for name, value in found.items()}
        return found

    def formulas(self, layer: Layer = BATCH_NORM) -> tuple[str, str]:
        """The formula with the bug, and the right one.

        >>> MUTANTS["mean-path-missing"].formulas()
        ('dx = (dx̂ − x̂·mean(dx̂·x̂))/s', 'dx = (dx̂ − mean dx̂ − x̂·mean(dx̂·x̂))/s')
        """
        return written(self.got, layer), written(self.right, layer)


def _words(mode: Mode) -> dict[str, str]:
    """What stands for the parts of a formula in this mode."""
    paths = {"mean": " − mean dx̂", "mean_dot": " − mean ẋ"} if mode.batch and mode.centred else {}
    paths |= {"variance": " − x̂·mean(dx̂·x̂)", "variance_dot": " − x̂·mean(ẋ·x̂)"} if mode.batch else {}
    empty = dict.fromkeys(("mean", "variance", "mean_dot", "variance_dot"), "")
    if not mode.centred:
        return {**empty, **paths, "deviation": "x", "var": "ρ"}
    if not mode.batch:
        return {**empty, **paths, "deviation": "(x − R)", "var": "V"}
    return {**empty, **paths, "deviation": "(x − μ)", "var": "σ²"}


def written(formula: str, layer: Layer) -> str:
    """A formula, or the right one of that name, as a layer has it; ⟦ ⟧ holds what only layers that centre have."""
    mode = Mode.of(layer)
    text = RIGHT.get(formula, formula).format(**_words(mode))
    return re.sub("⟦(.*?)⟧", r"\1" if mode.centred else "", text).replace("(dx̂)", "dx̂").replace("(ẋ)", "ẋ")


def traits(layer: Layer, case: Case) -> frozenset[str]:
    """What a layer has on this case that a bug may need, by the words of `Mutant.needs`.

    >>> case = Case(BATCH_NORM.layouts[0], x=[[0.0], [2.0]], dy=[[1.0], [0.0]])
    >>> sorted(traits(BATCH_NORM, case))
    ['batch', 'batch-reduced', 'centring', 'moves', 'shared', 'training']
    """
    mode, layout, shape = Mode.of(layer), case.layout, case.x.shape
    first = shape[layout.reduced_axes[0]]
    groups, shared = case.x.size // case.count, [shape[k] for k in layout.shared_axes]
    inside = [shape[k] for k in layout.affine_axes if k in layout.reduced_axes]
    settings = {**layer.settings, **case.settings}
    several = case.count > 1
    has = {
        "gamma": "gamma" in case.parameters,
        "beta": "beta" in case.parameters,
        "centring": mode.centred,
        "batch": mode.batch and several,  # statistics of the batch, through which x reaches y
        "given": not mode.batch,
        "training": mode.batch,
        "running": mode.batch and mode.running,
        "state": mode.running,
        "biased": mode.running and several and settings.get("ddof") == 0,
        "unbiased": mode.running and several and settings.get("ddof") == 1,
        "statistics": bool(case.upstream),
        "tangents": mode.tangents,
        "gamma-tangent": tangent_of("gamma") in case.parameters,
        "gamma-in-group": "gamma" in case.parameters and max(inside, default=1) > 1,
        "moves": (mode.batch and several) or tangent_of("gamma") in case.parameters,
        "several-parameters": math.prod(layout.parameter_shape(shape)) > 1,
        "samples": len(shared) > 1 and 1 < shared[0] < math.prod(shared),
        "shared": max(shared, default=1) > 1,
        "groups": groups > 1,
        "batch-kept": "N" in layout.kept and shape[layout.axes.index("N")] > 1,
        "batch-reduced": "N" in layout.reduced,
        "several-axes": 1 < first < case.count,
        "count": staged.other_count(case) not in (case.count, case.count - 1),
        "offset": case.dtype.itemsize >= 4 and _has_offset(case),  # half precision leaves nothing of such a group
    }
    return frozenset(name for name, there in has.items() if there)


def _has_offset(case: Case) -> bool:
    """Whether some group is a hundred times as far from zero as it is wide: a one-pass variance cancels there."""
    with np.errstate(all="ignore"):
        wide = case.x.astype(np.float64)
        middle, width = (f(wide, axis=case.layout.reduced_axes) for f in (np.mean, np.std))
        return bool((np.abs(middle) > 100 * np.sqrt(width * width + case.eps)).any()) and case.count > 1


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


def _backward(name: str, words: str, got: str, fix: str, needs: str = "", right: str = "dx", **dials: Any) -> Mutant:
    """A bug in dx alone."""
    return Mutant(name, words, right, got, fix, _set("dx"), _set(needs), backward_dials=Backward(**dials))


def _parameter(name: str, words: str, right: str, got: str, fix: str, needs: str, **dials: Any) -> Mutant:
    """A bug in dγ or dβ."""
    shows = "dgamma dbeta" if right == "dgamma" and "dβ" in got else right
    return Mutant(name, words, right, got, fix, _set(shows), _set(needs), backward_dials=Backward(**dials))


def _forward(name: str, words: str, right: str, got: str, fix: str, needs: str = "", **dials: Any) -> Mutant:
    """A bug in the forward pass, with the backward pass that belongs to it."""
    shows = "y dx dgamma dbeta mean var new_running_mean new_running_var"
    return Mutant(name, words, right, got, fix, _set(shows), _set(needs), forward_dials=Forward(**dials))


_PATHS = (
    _backward(
        "zero", "dx is zero", "dx = 0", "Return the gradient that was computed.", direct=0, mean_path=0, variance_path=0
    ),
    _backward(
        "mean-path-missing",
        "the path through the mean is missing",
        "dx = (dx̂{variance})/s",
        "Subtract the mean of dx̂ over the group: x reaches y through μ as well.",
        "batch centring",
        mean_path=0,
    ),
    _backward(
        "variance-path-missing",
        "the path through the variance is missing",
        "dx = (dx̂{mean})/s",
        "Subtract x̂·mean(dx̂·x̂): x reaches y through the variance as well.",
        "batch",
        variance_path=0,
    ),
    _backward(
        "statistics-constant",
        "mean and variance are taken for constants",
        "dx = dx̂/s",
        "Differentiate through μ and σ²: both depend on x.",
        "batch centring",
        mean_path=0,
        variance_path=0,
    ),
    _backward(
        "mean-path-doubled",
        "the path through the mean is subtracted twice",
        "dx = (dx̂ − 2·mean dx̂{variance})/s",
        "Subtract the mean of dx̂ once; the term with Σ(x − μ) is zero and adds nothing.",
        "batch centring",
        mean_path=2,
    ),
    _backward(
        "variance-path-doubled",
        "the path through the variance is subtracted twice: the ½ of the root's slope is lost",
        "dx = (dx̂{mean} − 2·x̂·mean(dx̂·x̂))/s",
        "The slope of √ is ½ of its inverse; with the 2 of (x − μ)² that makes 1.",
        "batch",
        variance_path=2,
    ),
    _backward(
        "path-sign",
        "the paths through the statistics have the wrong sign",
        "dx = (dx̂⟦ + mean dx̂⟧ + x̂·mean(dx̂·x̂))/s",
        "Subtract both: a larger x raises μ and σ², which lowers every x̂.",
        "batch",
        mean_path=-1,
        variance_path=-1,
    ),
    _backward(
        "mean-path-own-sample",
        "the path through the mean counts the own sample only, not the whole group",
        "dx = (dx̂ − dx̂/m{variance})/s",
        "Sum dx̂ over the group before dividing by m.",
        "batch centring",
        own_sample=True,
    ),
    _backward(
        "exponent-wrong",
        "the power −3/2 is written ** -3 / 2: the cube is halved, and no root is taken",
        "d{var} = Σ dx̂·{deviation}·(−½)·({var} + ε)^(−3)/2",
        "Bracket the exponent: (var + eps) ** (-3 / 2), or use inv_std ** 3.",
        "batch",
        "dvar",
        exponent="unbracketed",
    ),
    _backward(
        "exponent-sign",
        "the power −3/2 has lost its sign: σ³ for σ⁻³",
        "d{var} = Σ dx̂·{deviation}·(−½)({var} + ε)^(3/2)",
        "Divide by the cube of s: (var + eps) ** -1.5.",
        "batch",
        "dvar",
        exponent="positive",
    ),
    _backward(
        "ddof",
        "the backward pass divides by m - 1",
        "dx = (dx̂⟦ − Σ dx̂/(m − 1)⟧ − x̂·Σ(dx̂·x̂)/(m − 1))/s",
        "Divide by m, as the mean and the population variance do.",
        "batch",
        ddof=1,
    ),
    _backward(
        "count-wrong",
        "the backward pass divides by another count than the group's size",
        "dx = (dx̂⟦ − Σ dx̂/n⟧ − x̂·Σ(dx̂·x̂)/n)/s, n ≠ m",
        "Divide by the number of elements that one mean covers: N·H·W for images.",
        "batch count",
        count="other",
    ),
)

_GAMMA = (
    _backward(
        "gamma-missing",
        "dx is not multiplied by gamma",
        "dx̂ = dy",
        "Multiply dy by gamma first: dx̂ = γ·dy.",
        "gamma",
        "dxhat",
        gamma_power=0,
    ),
    _backward(
        "gamma-twice",
        "dx is multiplied by gamma twice",
        "dx̂ = γ²·dy",
        "Multiply by gamma once.",
        "gamma",
        "dxhat",
        gamma_power=2,
    ),
    _backward(
        "gamma-outside-sum",
        "gamma is pulled out of the group's sums, where it varies",
        "dx = γ·(dy⟦ − mean dy⟧ − x̂·mean(dy·x̂))/s",
        "Multiply by gamma inside the sums: it is constant over a group in batch norm alone.",
        "gamma-in-group batch",
        gamma_outside=True,
    ),
    _forward(
        "gamma-per-group",
        "one gamma and beta for a whole group, where every channel has its own",
        "y",
        "y = mean γ·x̂⟦ + mean β⟧",
        "Index γ and β by channel, not by group.",
        "gamma-in-group",
        gamma_per_group=True,
    ),
    _backward(
        "returns-dxhat",
        "dx̂ is returned in place of dx",
        "dx = dx̂ = γ·dy",
        "Go on: divide by s, and subtract the paths through the statistics.",
        returns="dxhat",
    ),
    _backward(
        "returns-dy", "dy is returned in place of dx", "dx = dy", "Differentiate the layer.", "gamma", returns="dy"
    ),
    _backward(
        "one-element",
        "one element of dx is off by 1e-5 of the largest",
        "dx[0, …] = dx[0, …] + 1e-5·max|dx|",
        "Look at that index: a border, an overwritten element, a race.",
        one_element=1e-5,
    ),
)

_EPS = (
    Mutant(
        "eps-missing-in-backward",
        "the backward pass leaves eps out",
        "s",
        "s = √{var} in the backward pass",
        "Use the inv_std of the forward pass, with eps, in the backward pass too.",
        _set("dx dgamma"),
        backward_dials=Backward(eps_factor=0),
    ),
    Mutant(
        "eps-mismatch",
        "the backward pass uses another eps than the forward pass",
        "s",
        "s = √({var} + ε′) in the backward pass, ε′ ≠ ε",
        "Hand eps, or better inv_std, from the forward to the backward pass.",
        _set("dx dgamma"),
        backward_dials=Backward(eps_factor=0.1),
    ),
    _forward(
        "eps-outside-sqrt",
        "eps is added to the standard deviation, outside the root",
        "s",
        "s = √{var} + ε",
        "Add eps to the variance, then take the root.",
        spread="outside",
    ),
    _forward(
        "eps-twice",
        "eps is added twice, inside the root and outside",
        "s",
        "s = √({var} + ε) + ε",
        "Add eps once, to the variance.",
        spread="twice",
    ),
    _forward("eps-missing", "eps is left out", "s", "s = √{var}", "Add eps to the variance.", spread="none"),
    _forward(
        "eps-ignored",
        "another eps is used than the one that was given, forward and backward",
        "s",
        "s = √({var} + ε′), ε′ ≠ ε",
        "Hand the caller's eps through; write no constant in its place.",
        eps_factor=10,
    ),
    Mutant(
        "eps-outside-in-forward-only",
        "eps is added outside the root, and the backward pass is that of eps inside",
        "s",
        "s = √{var} + ε, dx = (dx̂{mean}{variance})/s",
        "Add eps to the variance; or differentiate √σ² + ε: its slope is 1/(2·√σ²), not 1/(2·s).",
        _set("y dx dgamma"),
        _set("batch"),
        Forward(spread="outside"),
        Backward(usual="closed"),
    ),
    _forward(
        "max-for-plus",
        "the variance is clamped at eps, not raised by it",
        "s",
        "s = √max({var}, ε)",
        "Add eps to the variance: √(var + eps).",
        spread="larger",
    ),
    _forward(
        "var-for-std",
        "divides by the variance: the root is missing",
        "s",
        "s = {var} + ε",
        "Divide by √(var + eps).",
        spread="square",
    ),
    _forward(
        "std-for-var",
        "the standard deviation is kept where the variance is meant",
        "s",
        "s = √(√{var} + ε)",
        "Keep the variance; take its root once, with eps.",
        std_for_var=True,
    ),
)

_STATISTICS = (
    _forward(
        "ddof-forward",
        "the forward pass normalizes with the unbiased variance",
        "var",
        "{var} = Σ {deviation}²/(m − 1)",
        "Divide by m: var(unbiased=False), ddof=0. Only the running variance is unbiased, in some frameworks.",
        "batch",
        ddof=1,
    ),
    Mutant(
        "ddof-in-forward-only",
        "the forward pass divides by the unbiased variance, and the backward pass is that of the population's",
        "var",
        "{var} = Σ {deviation}²/(m − 1), dx = (dx̂{mean}{variance})/s",
        "Divide by m in the variance: var(unbiased=False), ddof=0.",
        _set("y dx dgamma mean var new_running_var"),
        _set("batch"),
        Forward(ddof=1),
        Backward(usual="closed"),
    ),
    _forward(
        "one-pass-variance",
        "the variance is taken as E[x²] − E[x]², which cancels where the mean is large",
        "var",
        "σ² = mean x² − (mean x)²",
        "Centre first: the mean of (x − μ)². Or use Welford's update.",
        "offset centring batch",
        one_pass=True,
    ),
    _forward(
        "axis-wrong",
        "the statistics are taken over the wrong axis",
        "mean",
        "μ, σ² over an axis that should be kept",
        "Reduce the layout's own axes: N, H and W for batch norm on images.",
        "batch groups",
        axes="swapped",
    ),
    _forward(
        "layout-wrong",
        "the channel axis is taken for the last, or the last for the channel: NHWC for NCHW",
        "mean",
        "μ, σ² over C and not over the last axis",
        "Reduce every axis but the one of the channels.",
        "batch groups several-axes batch-reduced",
        axes="swapped-last",
    ),
    _forward(
        "per-activation",
        "the statistics are taken over the first axis alone, for every activation",
        "mean",
        "μ, σ² over the first axis only",
        "Reduce the other axes as well: a channel has one mean.",
        "batch several-axes",
        axes="first",
    ),
    _forward(
        "statistics-over-everything",
        "one mean and one variance for the whole array",
        "mean",
        "μ, σ² over all axes",
        "Keep the axis of the channels.",
        "training groups batch-reduced",
        axes="everything",
    ),
    _forward(
        "batch-axis-reduced",
        "the statistics are taken over the samples as well",
        "mean",
        "μ, σ² over N too",
        "Keep the axis of the samples: each has statistics of its own.",
        "training batch-kept",
        axes="batch",
    ),
    Mutant(
        "mean-gradient-ignored",
        "the gradient that arrives at the returned mean is dropped",
        "dμ = ∂ℓ/∂μ − Σ dx̂/s",
        "dμ = −Σ dx̂/s",
        "Add what arrives at the mean to dμ.",
        _set("dx"),
        _set("statistics"),
        backward_dials=Backward(ignores=_set("mean")),
    ),
    Mutant(
        "var-gradient-ignored",
        "the gradient that arrives at the returned variance is dropped",
        "dσ² = ∂ℓ/∂σ² − Σ dx̂·(x − μ)/(2·s³)",
        "dσ² = −Σ dx̂·(x − μ)/(2·s³)",
        "Add what arrives at the variance to dσ².",
        _set("dx"),
        _set("statistics batch"),
        backward_dials=Backward(ignores=_set("var")),
    ),
)

_MODES = (
    Mutant(
        "eval-uses-batch-formula",
        "the backward pass of training, where the statistics are constants",
        "dx",
        "dx = (dx̂ − mean dx̂ − x̂·mean(dx̂·x̂))/s",
        "With running statistics dx = dx̂/s: nothing else depends on x.",
        _set("dx"),
        _set("given"),
        backward_dials=Backward(through_statistics=True),
    ),
    _forward(
        "eval-uses-batch-statistics",
        "the statistics of the batch, where the running ones are due",
        "xhat",
        "x̂ = (x − μ)/√(σ² + ε)",
        "In evaluation mode normalize with the running statistics.",
        "given",
        statistics="batch",
    ),
    _forward(
        "training-uses-running-statistics",
        "the running statistics, where those of the batch are due",
        "xhat",
        "x̂ = (x − R)/√(V + ε)",
        "In training mode normalize with the statistics of the batch.",
        "running",
        statistics="running",
    ),
    Mutant(
        "momentum-inverted",
        "the momentum weights the old value where it should weight the new, or the reverse",
        "running_mean",
        "R′ = R + (1 − w)·(μ − R)",
        "Swap momentum and 1 − momentum: torch weights the new batch, Keras and ONNX the old value.",
        _set("new_running_mean new_running_var"),
        _set("running"),
        Forward(new_weight="inverted"),
    ),
    Mutant(
        "running-only-new-batch",
        "the running statistics are those of the new batch alone",
        "running_mean",
        "R′ = μ, V′ = σ²",
        "Average with the old value.",
        _set("new_running_mean new_running_var"),
        _set("running"),
        Forward(new_weight="one"),
    ),
    Mutant(
        "running-not-updated",
        "the running statistics stay as they are in training",
        "running_mean",
        "R′ = R, V′ = V",
        "Update them in training mode.",
        _set("new_running_mean new_running_var"),
        _set("running"),
        Forward(new_weight="zero"),
    ),
    Mutant(
        "running-var-unbiased",
        "the running variance averages the unbiased variance, where the population's is due",
        "running_var",
        "V′ = V + w·(σ²·m/(m − 1) − V)",
        "Average σ² itself, as Keras and ONNX do.",
        _set("new_running_var"),
        _set("running biased"),
        Forward(running_ddof="unbiased"),
    ),
    Mutant(
        "running-var-biased",
        "the running variance averages the population variance, where the unbiased one is due",
        "running_var",
        "V′ = V + w·(σ² − V)",
        "Average σ²·m/(m − 1), as torch does.",
        _set("new_running_var"),
        _set("running unbiased"),
        Forward(running_ddof="biased"),
    ),
)

_PARAMETERS = (
    _parameter(
        "reduced-by-mean",
        "dgamma and dbeta are averaged, not summed",
        "dgamma",
        "dγ = mean dy·x̂, dβ = mean dy",
        "Sum over every axis along which γ and β are shared; the loss has done its averaging already.",
        "gamma shared",
        reduced="mean",
    ),
    _parameter(
        "divided-by-samples",
        "dgamma and dbeta are divided by the number of samples",
        "dgamma",
        "dγ = Σ dy·x̂ / N, dβ = Σ dy / N",
        "Leave the division out; the loss has done its averaging already.",
        "gamma samples",
        reduced="samples",
    ),
    _parameter(
        "not-reduced",
        "dgamma and dbeta are not summed",
        "dgamma",
        "dγ = dy·x̂, dβ = dy",
        "Sum over every axis along which γ and β are shared.",
        "gamma shared",
        reduced="none",
    ),
    _parameter(
        "summed-over-everything",
        "dgamma and dbeta are summed over all axes, to one number",
        "dgamma",
        "dγ = Σ dy·x̂, dβ = Σ dy, over all axes",
        "Keep the axes along which γ and β vary.",
        "gamma several-parameters",
        reduced="all",
    ),
    _parameter(
        "dgamma-not-xhat",
        "dgamma is summed over dy·y",
        "dgamma",
        "dγ = Σ dy·y",
        "Multiply dy by x̂, which γ multiplies, not by y.",
        "gamma",
        dgamma_from="y",
    ),
    _parameter(
        "dgamma-from-x",
        "dgamma is summed over dy·x",
        "dgamma",
        "dγ = Σ dy·x",
        "Multiply dy by x̂, not by x.",
        "gamma",
        dgamma_from="x",
    ),
    _parameter(
        "dgamma-from-centred",
        "dgamma is summed over dy·(x − μ): the division by s is missing",
        "dgamma",
        "dγ = Σ dy·{deviation}",
        "Multiply dy by x̂, which is divided by s.",
        "gamma centring",
        dgamma_from="centred",
    ),
    _parameter(
        "dbeta-not-dy",
        "dbeta sums y, not dy",
        "dbeta",
        "dβ = Σ y",
        "Sum the upstream gradient dy.",
        "beta",
        dbeta_from="y",
    ),
)


def _tangent(name: str, words: str, got: str, fix: str, needs: str, *forgets: str) -> Mutant:
    """A bug in the Jacobian-vector product."""
    return Mutant(name, words, "jvp", got, fix, _set("y"), _set(needs), Forward(forgets=frozenset(forgets)))


def _second(name: str, words: str, got: str, fix: str, needs: str, **dials: Any) -> Mutant:
    """A bug in the second order, what a double backward pass computes."""
    shows = _set("dx dgamma" if "second_order" in dials else "dx")
    return Mutant(name, words, "second", got, fix, shows, _set("tangents " + needs), backward_dials=Backward(**dials))


_SECOND = (
    _tangent(
        "tangent-mean-missing",
        "the tangent of the mean is missing in ẏ",
        "ẏ = γ̇·x̂ + γ·(ẋ{variance_dot})/s + β̇",
        "Subtract mean ẋ: the mean moves with x.",
        "tangents batch centring",
        "mean",
    ),
    _tangent(
        "tangent-variance-missing",
        "the tangent of the variance is missing in ẏ",
        "ẏ = γ̇·x̂ + γ·(ẋ{mean_dot})/s + β̇",
        "Subtract x̂·mean(ẋ·x̂): the variance moves with x.",
        "tangents batch",
        "var",
    ),
    _tangent(
        "tangent-statistics-constant",
        "mean and variance are taken for constants in ẏ",
        "ẏ = γ̇·x̂ + γ·ẋ/s + β̇",
        "Push the tangent through both statistics.",
        "tangents batch centring",
        "mean",
        "var",
    ),
    _tangent(
        "tangent-gamma-missing",
        "the tangent of gamma is missing in ẏ",
        "ẏ = γ·(ẋ{mean_dot}{variance_dot})/s + β̇",
        "Add γ̇·x̂: y is a product.",
        "gamma-tangent",
        "gamma",
    ),
    _second(
        "second-order-zero",
        "the second order is zero: the backward pass cannot be differentiated",
        "d(dx) = 0",
        "Build the backward pass from differentiable operations, or give it a backward pass of its own.",
        "moves",
        second_order=0,
    ),
    _second(
        "second-order-doubled",
        "the second order is twice as large",
        "2·d(dx)",
        "Each pair of factors occurs once: differentiate the product, do not square it.",
        "moves",
        second_order=2,
    ),
    _second(
        "second-order-std-constant",
        "the second order takes 1/s for a constant",
        "d(dx) without the tangent of 1/s",
        "Differentiate the saved inv_std too: it depends on x.",
        "batch",
        still=_set("inv_std"),
    ),
    _second(
        "second-order-xhat-constant",
        "the second order takes the saved x̂ for a constant",
        "d(dx) without the tangent of x̂",
        "Differentiate the saved x̂ too: it depends on x.",
        "batch",
        still=_set("xhat"),
    ),
    _second(
        "second-order-sums-constant",
        "the second order takes the group's sums for constants",
        "d(dx) without the tangents of mean dx̂ and mean(dx̂·x̂)",
        "Differentiate the sums of the backward pass too.",
        "batch",
        still=_set("sums"),
    ),
    _second(
        "second-order-gamma-constant",
        "the second order takes gamma for a constant",
        "d(dx) without the tangent of γ",
        "Differentiate dx̂ = γ·dy with respect to γ as well.",
        "gamma-tangent",
        still=_set("gamma"),
    ),
)

_EFFECTS = (
    Mutant(
        "mutates-input",
        "the caller's x is changed in place",
        "x stays as it is",
        "x ← x − μ",
        "Write to a copy: x - mean, not x -= mean.",
        _set("x"),
        effect="input",
    ),
    Mutant(
        "state-changed",
        "the caller's running statistics are changed by a call that should leave them alone",
        "R, V stay as they are",
        "R ← R′, V ← V′",
        "Update the running statistics in training mode only, once for each batch.",
        _set("state"),
        _set("state"),
        effect="state",
    ),
    Mutant(
        "dtype-changed",
        "the answer has another dtype than x",
        "y and gradients in the dtype of x",
        "float64 for float32, or the reverse",
        "Create arrays with the dtype of x, and keep constants as Python numbers.",
        _set("dtype"),
        effect="dtype",
    ),
)

MUTANTS: Mapping[str, Mutant] = MappingProxyType(
    {
        mutant.id: mutant
        for mutant in (*_PATHS, *_GAMMA, *_EPS, *_STATISTICS, *_MODES, *_PARAMETERS, *_SECOND, *_EFFECTS)
    }
)


def mutants_for(layer: Layer, case: Case) -> dict[str, Mutant]:
    """The mutants that are bugs of this layer on this case and show in what it returns; effects do not.

    >>> case = Case(BATCH_NORM.layouts[0], x=[[0.0], [2.0]], dy=[[1.0], [0.0]])
    >>> bugs = mutants_for(BATCH_NORM, case)
    >>> "ddof" in bugs, "gamma-missing" in bugs
    (True, False)
    """
    has = traits(layer, case)
    return {name: mutant for name, mutant in MUTANTS.items() if mutant.needs <= has and not mutant.effect}


def correct(case: Case, layer: Layer = BATCH_NORM) -> Gradients:
    """The same code without a bug: what every mutant is a small change of."""
    return _rounded(staged.vjp(layer, case.widened()), case)


ESSENTIAL = ("zero", "mean-path-missing", "variance-path-missing", "gamma-missing")
"""A case on which one of these passes for the truth is vacuous."""


def shown(
    layer: Layer,
    case: Case,
    truth: Mapping[str, Enclosure],
    allowed: Mapping[str, Array],
    names: Iterable[str] = tuple(MUTANTS),
) -> dict[str, frozenset[str]]:
    """For each of the named mutants that is a bug here, the returned names in which this case shows it.

    For a layer of one's own whose gradient is another one, the mutants say nothing, and none is named.
    """
    limit = {name: allowed[name] + truth[name].radius for name in truth}

    def seen(got: Gradients) -> frozenset[str]:
        rounded = _rounded(got, case)
        return frozenset(name for name, value in rounded.items() if _outside(value, truth[name], limit[name]))

    if not staged.knows(layer):
        return {}
    wide = case.widened()
    right = staged.forward(layer, wide)
    if seen(staged.vjp(layer, wide, stages=right)):
        return {}
    bugs = mutants_for(layer, case)
    found = {}
    for name in (name for name in names if name in bugs):
        forward, backward = bugs[name].forward_dials, bugs[name].backward_dials
        if forward == Forward():  # what it returns beside the gradients is right
            with np.errstate(all="ignore"):
                found[name] = seen(staged.backward(right, backward))
        else:
            found[name] = seen(staged.vjp(layer, wide, forward, backward))
    return found


def _rounded(found: Gradients, case: Case) -> dict[str, Array]:
    """What was computed in the dtype to compute in, rounded once to the case's own, as an oracle answers it."""
    with np.errstate(all="ignore"):
        return {name: value.astype(case.dtype, copy=False) for name, value in found.items()}


def _outside(got: Array, truth: Enclosure, limit: Array) -> bool:
    return got.shape != limit.shape or not bool(((truth.distance(got) <= limit) | np.isinf(limit)).all())


def unseen(found: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """The essential bugs that no gradient with respect to x shows, out of what `shown` found."""
    gradients = {"dx", tangent_of("dx")}
    return tuple(name for name in ESSENTIAL if name in found and not gradients & found[name])
