"""ONNX Runtime's normalization operators as suspects, on the CPU. It has no gradient: only y is answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnxruntime
from onnx import helper

from bncheck.case import Array, Gradients
from bncheck.frameworks.conventions import Posed


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
    operator, opset, attributes = OPERATORS[posed.layer]
    x, zeros, ones = posed.primals["x"], np.zeros(posed.parameter_shape), np.ones(posed.parameter_shape)
    given = {"x": x, "gamma": ones, "beta": zeros, **posed.primals}
    if posed.layer == "rms_norm":
        del given["beta"]
    if operator == "BatchNormalization":
        given |= {"running_mean": zeros, "running_var": ones, **posed.state}
    names = ["y", *(f"new_{name}" for name in posed.renewed)]
    inputs = {name: value.astype(x.dtype) for name, value in given.items()}
    if posed.layer == "batch_norm":
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
