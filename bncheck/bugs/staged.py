"""One normalization layer written stage by stage in NumPy, with dials: each dial turned is a bug that real code had.

Forward and backward serve every layer and mode that `bncheck.layers` lists. Run on tangents, the same backward is the
layer's second order, so that a bug in the first order shows there as well. Left alone, the dials give a correct
implementation; what `Forward` changes comes with the backward of that other forward, what `Backward` changes does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from bncheck.case import X_TANGENT, Array, Case, Gradients, Layout
from bncheck.layers import Layer
from bncheck.tangents import Tangent, tangent_of
from bncheck.tolerances.intervals import Radius
from bncheck.trace import is_centred


@dataclass(frozen=True)
class Forward:
    """The dials of the forward pass.

    `axes` says what the means reduce: the layout's axes, or those with its first or last axis exchanged for one that
    is kept (swapped, swapped-last), only the first, the batch as well, or everything. `ddof` is that of the variance,
    `one_pass` takes it as E[x²] − E[x]², `std_for_var` puts its root in its place, `eps_factor` scales ε.
    `spread` is what divides: inside
    for √(σ² + ε), outside for √σ² + ε, twice for √(σ² + ε) + ε, none for √σ², larger for √max(σ², ε), square for
    σ² + ε. `statistics` are the layer's own, or those of the batch, or the running ones; `gamma_per_group` averages γ
    and β within a group. `new_weight` and `running_ddof` are those of the running statistics; `forgets` names the
    stages whose tangent is taken for zero.
    """

    axes: str = "own"
    ddof: int = 0
    one_pass: bool = False
    std_for_var: bool = False
    eps_factor: float = 1
    spread: str = "inside"
    statistics: str = "own"
    gamma_per_group: bool = False
    new_weight: str = "own"
    running_ddof: str = "own"
    forgets: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Backward:
    """The dials of the backward pass.

    `direct`, `mean_path` and `variance_path` scale the three ways by which x reaches y; `own_sample` leaves the sum out
    of the mean path, `exponent` how (σ² + ε)^(−3/2)
    was written. `through_statistics` has the last two paths where the statistics are constants. `gamma_power` is how
    often dx is multiplied by γ, `gamma_outside` does it after the group's sums. `count` is what the sums are divided
    by: m, or the `other_count`; `ddof` is subtracted from it. `eps_factor`
    scales ε; `usual` is the backward of ε inside the root and the divisor m, whatever the forward pass does: closed has
    the forward pass's s throughout, chain has (σ² + ε)^(−3/2) in the variance path. `returns` is what is handed back as
    dx. `dgamma_from` and `dbeta_from` are what is summed for them, by `reduced`. `ignores` names outputs whose upstream
    gradient is dropped. `one_element` is added to a single element of dx, relative to the largest. `still` names the
    stages that the second order takes for constants, and `second_order` scales its dx and dgamma.
    """

    direct: float = 1
    mean_path: float = 1
    variance_path: float = 1
    own_sample: bool = False
    exponent: str = "own"
    through_statistics: bool = False
    gamma_power: int = 1
    gamma_outside: bool = False
    count: str = "own"
    ddof: int = 0
    eps_factor: float = 1
    usual: str = "no"
    returns: str = "dx"
    dgamma_from: str = "xhat"
    dbeta_from: str = "dy"
    reduced: str = "sum"
    ignores: frozenset[str] = frozenset()
    one_element: float = 0
    still: frozenset[str] = frozenset()
    second_order: float = 1


class Mode(NamedTuple):
    """What sort of layer this is: whether it centres, takes statistics of the batch, keeps running ones, is a jvp."""

    centred: bool
    batch: bool
    running: bool
    tangents: bool

    @classmethod
    def of(cls, layer: Layer) -> Mode:
        """The mode that a layer's arguments tell.

        >>> from bncheck.layers import LAYERS
        >>> Mode.of(LAYERS["batch_norm_eval"])
        Mode(centred=True, batch=False, running=True, tangents=False)
        """
        centred = is_centred(layer) or "running_mean" in layer.state
        return cls(centred, "mean" in layer.operations, bool(layer.state), X_TANGENT in layer.parameters)


def knows(layer: Layer) -> bool:
    """Whether a layer has only what the layers here have; one of one's own may have more."""
    parameters = {"gamma", "beta"}
    parameters |= {X_TANGENT, *map(tangent_of, parameters)}
    state = ("running_mean", "running_var")
    return set(layer.parameters) <= parameters and layer.state in (() if "mean" in layer.operations else state, state)


@dataclass(frozen=True, eq=False)
class Stages:
    """What the forward pass leaves for the backward one; `slope` is ∂s/∂σ², `chain` ∂var/∂σ²."""

    case: Case
    mode: Mode
    dials: Forward
    dy: Any
    upstream: Mapping[str, Any]
    state: Mapping[str, Any]
    axes: tuple[int, ...]
    count: int
    x: Any
    gamma: Any
    beta: Any
    mean: Any
    var: Any
    centred: Any
    std: Any
    slope: Any
    chain: Any
    inv_std: Any
    xhat: Any
    y: Any


def forward(
    layer: Layer,
    case: Case,
    dials: Forward = Forward(),
    lifted: Callable[[Array], Any] = lambda array: array,
) -> Stages:
    """Every stage of the forward pass; `lifted` makes other numbers of its arrays, midpoint-radius ones for example."""
    mode = Mode.of(layer)
    axes = reduced_axes(case.layout, dials.axes)
    x, gamma, beta = _inputs(case, mode, dials, lifted)

    def constant(array: Array) -> Any:
        return Tangent(lifted(array)) if mode.tangents else lifted(array)

    dy = constant(case.dy)
    upstream = {name: constant(array) for name, array in case.broadcast_upstream().items() if name != "y"}
    state = {name: constant(case.layout.broadcastable(array)) for name, array in case.state.items()}
    count = math.prod(case.x.shape[k] for k in axes)
    batch = {"own": mode.batch, "batch": True, "running": False}[dials.statistics]
    with np.errstate(all="ignore"):
        if batch:
            mean: Any = _still(_mean(x, axes), "mean" in dials.forgets) if mode.centred else 0
            centred = x - mean if mode.centred else x
            var = _mean(x * x, axes) - mean * mean if dials.one_pass else _mean(centred * centred, axes)
            var = _still(var * (count / max(count - dials.ddof, 1)), "var" in dials.forgets)
        else:
            mean, var = state["running_mean"], state["running_var"]
            centred = x - mean
        var, chain = (_sqrt(var), 0.5 / _sqrt(var)) if dials.std_for_var else (var, 1.0)
        std, slope = _spread(var, case.eps * dials.eps_factor, dials.spread)
        inv_std = 1 / std
        xhat = centred * inv_std
        y = gamma * xhat + beta
    return Stages(
        case,
        mode,
        dials,
        dy,
        upstream,
        state,
        axes,
        count,
        x,
        gamma,
        beta,
        mean,
        var,
        centred,
        std,
        slope,
        chain,
        inv_std,
        xhat,
        y,
    )


def returned(layer: Layer, stages: Stages) -> dict[str, Any]:
    """What the caller of the forward pass gets, by name: y, the statistics, the running ones after the step."""
    case = stages.case
    named: dict[str, Any] = {"mean": stages.mean, "var": stages.var, "y": stages.y}
    if stages.mode.running and stages.mode.batch:
        with np.errstate(all="ignore"):
            named |= _after_the_step({**layer.settings, **case.settings}, stages)
    found = {name: named[name] for name in layer.returned(named)}
    if stages.mode.tangents:
        found = {name: _tangent(value) for name, value in found.items()}
    return {name: _in_shape(value, case.shape_of(name)) for name, value in found.items()}


def _after_the_step(settings: Mapping[str, float], stages: Stages) -> dict[str, Any]:
    dials, weight, ddof = stages.dials, settings["new_weight"], settings["ddof"]
    weight = {"own": weight, "inverted": 1 - weight, "one": 1.0, "zero": 0.0}[dials.new_weight]
    ddof = {"own": ddof, "biased": 0, "unbiased": 1}[dials.running_ddof]
    mean, var = stages.mean, stages.var
    if dials.statistics == "running":  # normalized with these, it still averages those of the batch
        mean = _mean(stages.x, stages.axes)
        var = _mean((stages.x - mean) ** 2, stages.axes)
    stored = var * (stages.count / max(stages.count - ddof, 1))
    old_mean, old_var = stages.state["running_mean"], stages.state["running_var"]
    return {
        "new_running_mean": old_mean + weight * (mean - old_mean),
        "new_running_var": old_var + weight * (stored - old_var),
    }


def vjp(
    layer: Layer,
    case: Case,
    forward_dials: Forward = Forward(),
    backward_dials: Backward = Backward(),
    stages: Stages | None = None,
) -> Gradients:
    """All that the layer returns and every gradient, with these dials; `stages` are those of a forward already run."""
    stages = forward(layer, case, forward_dials) if stages is None else stages
    values = returned(layer, stages)
    if forward_dials.forgets:
        stages = forward(layer, case, replace(forward_dials, forgets=frozenset()))
    with np.errstate(all="ignore"):
        return {**values, **backward(stages, backward_dials)}


def backward(stages: Stages, dials: Backward = Backward()) -> dict[str, Any]:
    """Every gradient, from what the forward pass left."""
    case = stages.case
    stages = _with_other_eps(stages, dials.eps_factor)
    dgamma, dbeta = _of_parameters(stages, dials)
    found: dict[str, Any] = {"dx": _dx(stages, dials), "dgamma": dgamma, "dbeta": dbeta}
    if stages.mode.tangents:
        found = {tangent_of(name): _value(gradient) for name, gradient in found.items()} | {
            name: dials.second_order * _tangent(gradient) for name, gradient in found.items()
        }
    found = {name: _in_shape(found[name], case.shape_of(name)) for name in case.gradient_names}
    if dials.one_element:
        name = tangent_of("dx") if stages.mode.tangents else "dx"
        found[name] = _with_one_element(found[name], dials.one_element)
    return found


def paths(stages: Stages, dials: Backward = Backward()) -> tuple[Any, Any, Any]:
    """The three ways by which x reaches the loss: directly, through the mean, through the variance.

    Math
        dx̂/s;  dμ/m, dμ = ∂ℓ/∂μ − Σ dx̂/s;  dσ²·2(x − μ)/m, dσ² = ∂ℓ/∂σ² − Σ dx̂·(x − μ)/(2 s³)
    """
    axes, still = stages.axes, dials.still
    gamma = _still(stages.gamma, "gamma" in still)
    inv_std, xhat = _still(stages.inv_std, "inv_std" in still), _still(stages.xhat, "xhat" in still)
    dxhat: Any = stages.dy
    for _ in range(0 if dials.gamma_outside else dials.gamma_power):
        dxhat = dxhat * gamma
    direct = dxhat * inv_std
    through = stages.dials.statistics == "batch" or (stages.mode.batch and stages.dials.statistics == "own")
    if not (through or dials.through_statistics):
        mean_path = variance_path = 0
    else:
        count = max((stages.count if dials.count == "own" else other_count(stages.case)) - dials.ddof, 1)
        arriving = {name: a for name, a in stages.upstream.items() if name not in dials.ignores}
        summed = direct if dials.own_sample else _still(_sum(direct, axes), "sums" in still)
        mean_path = -summed / count if stages.mode.centred else 0
        product = _still(_sum(dxhat * xhat, axes), "sums" in still)
        own = stages.count / max(stages.count - stages.dials.ddof, 1)
        if dials.usual == "no":
            gain = 2 * stages.slope * stages.std * stages.chain * own
        else:
            gain = _usual_gain(stages, dials.usual)
        variance_path = -inv_std * xhat * (product / count) * (gain * _exponent(stages, dials.exponent))
        if "mean" in arriving:
            mean_path = mean_path + arriving["mean"] / count
        if "var" in arriving:
            variance_path = variance_path + arriving["var"] * stages.chain * stages.centred * (2 * own / count)
    return direct, mean_path, variance_path


def _dx(stages: Stages, dials: Backward) -> Any:
    if dials.returns != "dx":
        return stages.dy * (stages.gamma if dials.returns == "dxhat" else 1)
    direct, mean_path, variance_path = paths(stages, dials)
    dx = dials.direct * direct + dials.mean_path * mean_path + dials.variance_path * variance_path
    return dx * stages.gamma if dials.gamma_outside else dx


def _of_parameters(stages: Stages, dials: Backward) -> tuple[Any, Any]:
    layout = stages.case.layout
    factors = {"xhat": stages.xhat, "x": stages.x, "centred": stages.centred, "y": stages.y}
    products = stages.dy * factors[dials.dgamma_from], stages.dy if dials.dbeta_from == "dy" else stages.y
    if stages.dials.gamma_per_group:
        inside = tuple(k for k in layout.affine_axes if k in layout.reduced_axes)
        products = tuple(_mean(product, inside) + 0 * product for product in products)
    dgamma, dbeta = (_reduced(product, layout, dials.reduced) for product in products)
    return dgamma, dbeta


def _reduced(products: Any, layout: Layout, how: str) -> Any:
    if how == "none":
        return products
    axes = tuple(range(len(layout.axes))) if how == "all" else layout.shared_axes
    total = _over(products, lambda a: _dropped(a.sum(axis=axes, keepdims=True), axes))
    if how in ("mean", "samples"):
        return total / math.prod(_value(products).shape[k] for k in (axes if how == "mean" else axes[:1]))
    return total


def _dropped(a: Any, axes: tuple[int, ...]) -> Any:
    return a.reshape([size for k, size in enumerate(a.shape) if k not in axes])


def other_count(case: Case) -> int:
    """What a wrong count counts: the samples alone where pixels count as well, or else the groups."""
    first, *others = case.layout.reduced_axes
    return case.x.shape[first] if others else case.x.size // case.count


def reduced_axes(layout: Layout, how: str) -> tuple[int, ...]:
    """The axes that a mean reduces, rightly or wrongly."""
    own, kept = layout.reduced_axes, [k for k in range(len(layout.axes)) if k not in layout.reduced_axes]
    found = {
        "own": own,
        "first": own[:1],
        "swapped": (*kept[:1], *own[1:]),
        "swapped-last": (*own[:-1], *kept[:1]),
        "batch": (0, *own),
        "everything": tuple(range(len(layout.axes))),
    }[how]
    return tuple(sorted(set(found)))


def _exponent(stages: Stages, how: str) -> Any:
    """By what the variance path is multiplied when −½ (σ² + ε)^(−3/2) is written otherwise."""
    if how == "unbracketed":  # ** -3 / 2
        return stages.inv_std * stages.inv_std * stages.inv_std / 2
    if how == "positive":  # ** (3 / 2)
        square = stages.std * stages.std
        return square * square * square
    return 1.0


def _usual_gain(stages: Stages, how: str) -> Any:
    """By what the variance path of this forward pass is multiplied where the backward pass is the usual one."""
    if how == "closed":
        return 1
    usual = _spread(stages.var, stages.case.eps, "inside")[0]
    return (stages.std / usual) ** 3


def _with_other_eps(stages: Stages, factor: float) -> Stages:
    if factor == 1:
        return stages
    std, slope = _spread(stages.var, stages.case.eps * stages.dials.eps_factor * factor, stages.dials.spread)
    inv_std = 1 / std
    return replace(stages, std=std, slope=slope, inv_std=inv_std, xhat=stages.centred * inv_std)


def _spread(var: Any, eps: float, how: str) -> tuple[Any, Any]:
    """What the centred x is divided by, and its derivative with respect to the variance."""
    if how == "square":
        return var + eps, 1.0
    if how == "larger":
        value = _value(var)
        number = value.midpoint if isinstance(value, Radius) else value
        above = np.asarray(number > eps).astype(number.dtype)
        root = _sqrt(above * var + (1 - above) * eps)
        return root, above / (2 * root)
    root = _sqrt(var + eps) if how in ("inside", "twice") else _sqrt(var)
    return root + eps if how in ("outside", "twice") else root, 0.5 / root


def _inputs(case: Case, mode: Mode, dials: Forward, lifted: Callable[[Array], Any]) -> tuple[Any, Any, Any]:
    given = {name: lifted(array) for name, array in case.broadcast_parameters().items()}
    if dials.gamma_per_group:
        inside = tuple(k for k in case.layout.affine_axes if k in case.layout.reduced_axes)
        given = {n: a if n == X_TANGENT else _mean(a, inside) for n, a in given.items()}
    gamma, beta = (given.get(name, one) for name, one in (("gamma", 1), ("beta", 0)))
    if not mode.tangents:
        return lifted(case.x), gamma, beta
    tangent = None if "gamma" in dials.forgets else given.get(tangent_of("gamma"))
    bias = Tangent(beta, given.get(tangent_of("beta")))
    return Tangent(lifted(case.x), given.get(X_TANGENT)), Tangent(gamma, tangent), bias


def _over(a: Any, operation: Any) -> Any:
    """A linear operation on an array, or on a tangent's two arrays."""
    if isinstance(a, Tangent):
        return Tangent(operation(a.value), None if a.tangent is None else operation(a.tangent))
    return operation(a)


def _mean(a: Any, axes: tuple[int, ...]) -> Any:
    return _over(a, lambda one: one.mean(axes) if isinstance(one, Radius) else np.mean(one, axis=axes, keepdims=True))


def _sum(a: Any, axes: tuple[int, ...]) -> Any:
    return _over(a, lambda one: one.sum(axis=axes, keepdims=True))


def _sqrt(a: Any) -> Any:
    if not isinstance(a, Tangent):
        return np.sqrt(a)
    root = np.sqrt(a.value)
    return Tangent(root, None if a.tangent is None else a.tangent / (2 * root))


def _still(a: Any, forgotten: bool) -> Any:
    return Tangent(a.value) if forgotten and isinstance(a, Tangent) else a


def _value(a: Any) -> Any:
    return a.value if isinstance(a, Tangent) else a


def _tangent(a: Tangent) -> Any:
    if a.tangent is not None:
        return a.tangent
    return 0 * a.value if isinstance(a.value, Radius) else np.zeros_like(a.value)


def _in_shape(value: Any, shape: tuple[int, ...]) -> Any:
    """The array in the shape in which it is stored, where it has that many elements; else as it is, which is wrong."""
    return value.reshape(shape) if math.prod(value.shape) == math.prod(shape) else value


def _with_one_element(value: Any, relative: float) -> Any:
    number = value.midpoint if isinstance(value, Radius) else value
    moved = np.array(number)
    moved[(0,) * moved.ndim] += relative * max(abs(moved.min()), abs(moved.max()))
    return replace(value, midpoint=moved) if isinstance(value, Radius) else moved
