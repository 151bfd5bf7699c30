"""PyTorch's own normalization as suspects, on the CPU: functions and modules, forward mode and double backward."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from bncheck.case import Array, Case, Gradients
from bncheck.formats import DTYPES
from bncheck.frameworks.asking.conventions import Framework, Posed
from bncheck.frameworks.asking.packages import Package
from bncheck.frameworks.asking.suspects import CUBE, Known, Suspect, every, jvp_of, suspect
from bncheck.layers import LAYERS, Layer
from bncheck.tangents import tangent_of

FRAMEWORK = Framework(
    "torch", "PyTorch", "torch", (("torch",),), eps=1e-5, momentum=0.1, weighs="new", ddof=1, channels="first"
)

torch: Any = Package("torch")
nn: Any = Package("torch.nn")
functional: Any = Package("torch.nn.functional")

Call = Callable[..., dict[str, Any]]
"""A posed case, then x, gamma, beta and the running statistics by name, as tensors; to y and the new statistics."""


def _batch_norm(p: Posed, x: Any, gamma: Any = None, beta: Any = None) -> dict[str, Any]:
    return {"y": functional.batch_norm(x, None, None, gamma, beta, training=True, eps=p.eps)}


def _batch_norm_running(
    p: Posed, x: Any, running_mean: Any, running_var: Any, gamma: Any = None, beta: Any = None
) -> dict[str, Any]:
    y = functional.batch_norm(x, running_mean, running_var, gamma, beta, True, p.momentum, p.eps)
    return {"y": y, "new_running_mean": running_mean, "new_running_var": running_var}  # changed in place


def _batch_norm_eval(
    p: Posed, x: Any, running_mean: Any, running_var: Any, gamma: Any = None, beta: Any = None
) -> dict[str, Any]:
    return {"y": functional.batch_norm(x, running_mean, running_var, gamma, beta, False, eps=p.eps)}


def _layer_norm(p: Posed, x: Any, gamma: Any = None, beta: Any = None) -> dict[str, Any]:
    return {"y": functional.layer_norm(x, p.parameter_shape, gamma, beta, p.eps)}


def _instance_norm(p: Posed, x: Any, gamma: Any = None, beta: Any = None) -> dict[str, Any]:
    return {"y": functional.instance_norm(x, weight=gamma, bias=beta, eps=p.eps)}


def _group_norm(p: Posed, x: Any, gamma: Any = None, beta: Any = None) -> dict[str, Any]:
    return {"y": functional.group_norm(x, p.groups, gamma, beta, p.eps)}


def _rms_norm(p: Posed, x: Any, gamma: Any = None) -> dict[str, Any]:
    return {"y": functional.rms_norm(x, p.parameter_shape, gamma, p.eps)}


FUNCTIONS: Mapping[str, Call] = {
    "batch_norm": _batch_norm,
    "batch_norm_running": _batch_norm_running,
    "batch_norm_eval": _batch_norm_eval,
    "layer_norm": _layer_norm,
    "instance_norm": _instance_norm,
    "group_norm": _group_norm,
    "rms_norm": _rms_norm,
}


def _of_rank(kind: str, p: Posed, **options: Any) -> Any:
    """BatchNorm1d for (N, C) and (N, C, L), BatchNorm2d for (N, C, H, W), and so on."""
    make = getattr(nn, f"{kind}{max(len(p.shape) - 2, 1)}d")
    return make(*p.parameter_shape, eps=p.eps, affine="gamma" in p.primals, **options)


MODULES: Mapping[str, Callable[[Posed], Any]] = {
    "batch_norm": lambda p: _of_rank("BatchNorm", p),
    "batch_norm_running": lambda p: _of_rank("BatchNorm", p, momentum=p.momentum),
    "batch_norm_eval": lambda p: _of_rank("BatchNorm", p).eval(),
    "layer_norm": lambda p: nn.LayerNorm(p.parameter_shape, p.eps, elementwise_affine="gamma" in p.primals),
    "instance_norm": lambda p: _of_rank("InstanceNorm", p),
    "group_norm": lambda p: nn.GroupNorm(p.groups, *p.parameter_shape, p.eps, affine="gamma" in p.primals),
    "rms_norm": lambda p: nn.RMSNorm(p.parameter_shape, p.eps, elementwise_affine="gamma" in p.primals),
}


def module(given: Any, layer: Layer = LAYERS["batch_norm"]) -> Callable[[Case], Gradients]:
    """A module as a suspect, in whichever mode it is: `check(module(bn), case)`.

    It runs with the case's parameters and running statistics in place of its own, and with copies of all its buffers:
    it is left as it was. Its eps and momentum should be the case's.
    """

    def answered(case: Case) -> Gradients:
        posed = FRAMEWORK.pose(case, layer)
        return posed.answer({name: _array(value) for name, value in vjp(_calling(given), posed).items()})

    return answered


_OWN_NAMES = {"gamma": "weight", "beta": "bias"}


def _calling(given: Any, batches: int = 0) -> Call:
    def call(p: Posed, x: Any, **tensors: Any) -> dict[str, Any]:
        own = {name: buffer.clone() for name, buffer in given.named_buffers()}
        own |= {_OWN_NAMES.get(name, name): value for name, value in tensors.items()}
        if batches:
            own["num_batches_tracked"] = torch.tensor(batches)
        y = torch.func.functional_call(given, own, (x,))
        return {"y": y, **{f"new_{name}": own[name] for name in p.renewed}}

    return call


def answer(way: str, posed: Posed) -> Gradients:
    """What torch answers when it is asked in one of the ways in which it can be."""
    with _one_thread():
        return posed.answer({name: _array(value) for name, value in _WAYS[way](posed).items()})


def _functional(p: Posed) -> dict[str, Any]:
    return vjp(FUNCTIONS[p.layer.name], p)


def _module(p: Posed) -> dict[str, Any]:
    return vjp(_calling(MODULES[p.layer.name](p).to(getattr(torch, p.case.dtype.name))), p)


def _cumulative(p: Posed) -> dict[str, Any]:
    """Momentum None: the t-th batch weighs 1/t, and t − 1 went before."""
    bn = _of_rank("BatchNorm", p, momentum=None)
    return vjp(_calling(bn.to(getattr(torch, p.case.dtype.name)), round(1 / p.momentum) - 1), p)


def _jvp(p: Posed) -> dict[str, Any]:
    """`torch.func.jvp` alone."""
    return {"y": _backward_of_jvp(p)["y"]}


def _backward_of_jvp(p: Posed) -> dict[str, Any]:
    """`torch.func.jvp`, and reverse mode over it."""
    function = FUNCTIONS[p.primal.name]
    primals, tangents = _leaves(p.primals), _leaves(p.tangents)
    state = _tensors(p.state)

    def value(*given: Any) -> Any:
        return function(p, **dict(zip(primals, given, strict=True)), **state)["y"]

    directions = tuple(tangents.get(name, torch.zeros_like(primal)) for name, primal in primals.items())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch 2.13 compiles its own rules with torch.jit
        pushed = torch.func.jvp(value, tuple(primals.values()), directions)[1]
    leaves = {**primals, **{tangent_of(name): value for name, value in tangents.items()}}
    return {"y": pushed.detach(), **_gradients([pushed], leaves, [_tensor(p.dy)])}


def _double_backward(p: Posed) -> dict[str, Any]:
    """The gradient of ⟨gradients, tangents⟩: with respect to dy it is ẏ, with respect to x the second order."""
    function = FUNCTIONS[p.primal.name]
    primals, tangents = _leaves(p.primals), _tensors(p.tangents)
    dy = _tensor(p.dy).requires_grad_()
    y = function(p, **primals, **_tensors(p.state))["y"]
    first = _gradients([y], {name: primals[name] for name in tangents}, [dy], create_graph=True)
    second = _gradients(first.values(), {**primals, "y": dy}, tangents.values())
    pushed = second.pop("dy")
    return {"y": pushed, **{tangent_of(name): value.detach() for name, value in first.items()}, **second}


_WAYS: Mapping[str, Callable[[Posed], dict[str, Any]]] = {
    "functional": _functional,
    "module": _module,
    "cumulative": _cumulative,
    "jvp": _jvp,
    "backward of jvp": _backward_of_jvp,
    "double backward": _double_backward,
}


def vjp(call: Call, p: Posed) -> dict[str, Any]:
    """y, the new running statistics, and every gradient."""
    leaves = _leaves(p.primals)
    named = call(p, **leaves, **_tensors(p.state))
    gradients = _gradients([named["y"]], leaves, [_tensor(p.dy)])
    return {**{name: value.detach() for name, value in named.items()}, **gradients}


def _tensors(arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _tensor(value) for name, value in arrays.items()}


def _tensor(array: Array) -> Any:
    """An array as a tensor. torch and NumPy name bfloat16 differently; its bits are the same."""
    if array.dtype == DTYPES["bfloat16"]:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def _array(tensor: Any) -> Array:
    """What `_tensor` takes."""
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        return np.asarray(tensor.contiguous().view(torch.int16).numpy()).view(DTYPES["bfloat16"])
    return np.asarray(tensor.numpy())


def _leaves(arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tensor.requires_grad_() for name, tensor in _tensors(arrays).items()}


def _gradients(values: Any, leaves: Mapping[str, Any], arriving: Any, **options: Any) -> dict[str, Any]:
    found = torch.autograd.grad(
        tuple(values), tuple(leaves.values()), tuple(arriving), allow_unused=True, materialize_grads=True, **options
    )
    return {f"d{name}": gradient for name, gradient in zip(leaves, found, strict=True)}


@contextmanager
def _one_thread() -> Iterator[None]:
    """These cases are small: threads would only wait for each other, and for whatever else the machine does."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _several_values(case: Case) -> bool:
    return case.count > 1  # torch refuses to normalize a single value


def _several_values_of_a_channel(case: Case) -> bool:
    return bool(case.x.size > case.x.shape[1] * case.x.shape[2])


def _averages(case: Case) -> bool:
    return _several_values(case) and float(1 / case.settings["new_weight"]).is_integer()


_REFUSED = {  # by the training modes
    "batch_norm": _several_values,
    "batch_norm_running": _several_values,
    "instance_norm": _several_values,
    "group_norm": _several_values_of_a_channel,
}

_SAVED = Known("its reverse mode takes saved statistics for constants, so the second order is wrong", every)
_HALF = Known(
    "in float16 its derivative of the derivative leaves float16's range on the way",
    lambda case: case.dtype == np.float16,
)
_SAVED_TAKEN_FOR_CONSTANT = ("batch_norm", "layer_norm", "instance_norm")
"""Where reverse mode over forward mode is wrong on every case."""

_ROUNDED_ONCE = {
    "batch_norm": ("dbeta",),
    "batch_norm_eval": ("y", "dx", "dgamma", "dbeta"),
    "layer_norm": ("y",),
    "group_norm": ("y", "dbeta"),
    "rms_norm": ("y", "dx", "dgamma"),
}
"""What is computed in float32 in half types, and rounded at the end: see tests/test_bfloat16.py."""

_NAMES = {
    "batch_norm": ("batch_norm", "BatchNorm"),
    "batch_norm_running": ("batch_norm", "BatchNorm"),
    "batch_norm_eval": ("batch_norm", "BatchNorm"),
    "layer_norm": ("layer_norm", "LayerNorm"),
    "instance_norm": ("instance_norm", "InstanceNorm"),
    "group_norm": ("group_norm", "GroupNorm"),
    "rms_norm": ("rms_norm", "RMSNorm"),
}
"""For each layer the function and the module; which rank the module is of follows from the case."""


def _suspects() -> Iterator[Suspect]:
    for name, (function, module) in _NAMES.items():
        layer, takes = LAYERS[name], _REFUSED.get(name, every)
        cubes = (CUBE,) if name == "rms_norm" else ()
        once = _ROUNDED_ONCE.get(name, ())
        for called, way in ((f"torch.nn.functional.{function}", "functional"), (f"torch.nn.{module}", "module")):
            yield suspect(FRAMEWORK, answer, called, layer, way, takes, cubes, rounds_once=once)
        if layer.settings:  # the step of the running statistics is not differentiated twice
            yield suspect(FRAMEWORK, answer, "torch.nn.BatchNorm(momentum=None)", layer, "cumulative", _averages)
            continue
        twice = (_HALF,) if not layer.state else ()
        over = (_SAVED, *twice) if name in _SAVED_TAKEN_FOR_CONSTANT else twice
        for called, way, known in (
            (f"torch.func.jvp({function})", "jvp", twice),
            (f"backward of torch.func.jvp({function})", "backward of jvp", over),
            (f"torch double backward({function})", "double backward", twice),
        ):
            yield suspect(FRAMEWORK, answer, called, jvp_of(layer), way, takes, known)


SUSPECTS = tuple(_suspects())
