"""ONNX Runtime's normalization operators as suspects, on the CPU. It has no gradient: only y is answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from bncheck.case import Array, Case, Gradients
from bncheck.frameworks.asking.conventions import Framework, Posed
from bncheck.frameworks.asking.packages import Package
from bncheck.frameworks.asking.suspects import ONE_PASS, Suspect, narrow, suspect
from bncheck.layers import LAYERS

FRAMEWORK = Framework(
    "onnxruntime",
    "ONNX Runtime",
    "onnx",
    (("onnxruntime",), ("onnx",)),
    eps=1e-5,
    momentum=0.9,
    weighs="old",
    ddof=0,
    channels="first",
)

onnxruntime: Any = Package("onnxruntime")
helper: Any = Package("onnx.helper")


def _wide(p: Posed) -> int:
    """In which type ONNX is told to compute statistics: float32 at least, which is its default."""
    return int(helper.np_dtype_to_tensor_dtype(np.result_type(p.case.dtype, np.float32)))


OPERATORS: Mapping[str, tuple[str, int, Callable[[Posed], dict[str, Any]]]] = {
    "batch_norm": ("BatchNormalization", 15, lambda p: {"training_mode": 1}),
    "batch_norm_running": ("BatchNormalization", 15, lambda p: {"training_mode": 1, "momentum": p.momentum}),
    "batch_norm_eval": ("BatchNormalization", 15, lambda p: {}),
    "layer_norm": (
        "LayerNormalization",
        17,
        lambda p: {"axis": -len(p.parameter_shape), "stash_type": _wide(p)},
    ),
    "instance_norm": ("InstanceNormalization", 6, lambda p: {}),
    "group_norm": ("GroupNormalization", 21, lambda p: {"num_groups": p.groups, "stash_type": _wide(p)}),
    "rms_norm": (
        "RMSNormalization",
        23,
        lambda p: {"axis": -len(p.parameter_shape), "stash_type": _wide(p)},
    ),
}
"""For each layer the operator, the opset that defines it as it is called here, and its attributes beside epsilon."""


def answer(way: str, posed: Posed) -> Gradients:
    """y, and the new running statistics."""
    operator, opset, attributes = OPERATORS[posed.layer.name]
    x, zeros, ones = posed.primals["x"], np.zeros(posed.parameter_shape), np.ones(posed.parameter_shape)
    given = {"x": x, "gamma": ones, "beta": zeros, **posed.primals}
    if "beta" not in posed.layer.parameters:
        del given["beta"]
    if operator == "BatchNormalization":
        given |= {"running_mean": zeros, "running_var": ones, **posed.state}
    names = ["y", *(f"new_{name}" for name in posed.renewed)]
    inputs = {name: value.astype(x.dtype) for name, value in given.items()}
    if operator == "BatchNormalization" and not posed.state:
        names += ["mean", "var"]  # in training mode the operator has three outputs, wanted or not
    node = helper.make_node(operator, list(inputs), names, epsilon=posed.eps, **attributes(posed))
    return posed.answer(dict(zip(names, _run(node, opset, inputs, names), strict=True)))


def _run(node: Any, opset: int, inputs: Mapping[str, Array], names: list[str]) -> list[Array]:
    """A model of one node, made and run."""
    kind = helper.np_dtype_to_tensor_dtype(inputs["x"].dtype)
    ins = [helper.make_tensor_value_info(name, kind, value.shape) for name, value in inputs.items()]
    outs = [helper.make_tensor_value_info(name, kind, None) for name in names]
    graph = helper.make_graph([node], "one_layer", ins, outs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return list(session.run(names, dict(inputs)))


def _exact_eps(case: Case) -> bool:
    """An attribute is a float32."""
    return narrow(case) or (case.dtype == np.float64 and float(np.float32(case.eps)) == case.eps)


def _suspects() -> Iterator[Suspect]:
    for name, (operator, *_) in OPERATORS.items():
        takes = narrow if name == "instance_norm" else _exact_eps  # there is no instance norm for float64
        known = (ONE_PASS,) if name == "group_norm" else ()
        yield suspect(
            FRAMEWORK, answer, f"onnxruntime {operator}", LAYERS[name], takes=takes, known=known, forward_only=True
        )


SUSPECTS = tuple(_suspects())
