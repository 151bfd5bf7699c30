"""How to call the layers of frameworks, each a style: torch and Flax modules, Keras layers, ONNX files."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bncheck.targets.child.binding import Binding
from bncheck.targets.child.families import NumPy, plain
from bncheck.targets.child.roles import arguments, assigned, role, roles_of
from bncheck.targets.child.slots import attributes, awaits_its_size, size
from bncheck.targets.child.spoken import Spoken, SpokenRun
from bncheck.targets.child.styles import (
    PARAMETERS,
    Given,
    NoEvaluation,
    Run,
    Style,
    momentum_in,
    running_in,
    set_eps,
)


class TorchModule(Spoken):
    """A torch `nn.Module`, differentiated by autograd."""

    family = "torch"

    @property
    def has_backward(self) -> bool:
        return False

    def bases(self) -> list[type]:
        """Its classes but for that of all modules, which has no forward; what that does to itself is no answer."""
        import torch

        return [kind for kind in super().bases() if kind is not torch.nn.Module]

    def holds(self, name: str) -> bool:
        """Whether it has a method; a forward at least is promised by every module."""
        return name == "forward" or super().holds(name)

    def copied(self) -> Any:
        """A copy; what torch makes on the first forward only, and does not copy, is made anew."""
        waiting = [v for m in self.thing.modules() for v in (*m._parameters.values(), *m._buffers.values())]
        memo = {id(v): type(v)(device=v.device, dtype=v.dtype) for v in waiting if awaits_its_size(v)}
        return copy.deepcopy(self.thing, memo)

    def run(self, family: NumPy, given: Given, binding: Binding) -> SpokenRun:
        return _TorchModuleRun(self, family, given, binding)


class _TorchModuleRun(SpokenRun):
    def _built(self) -> Any:
        module = super()._built().to("cpu", self.given["x"].dtype).train()
        for inner in module.modules():
            self.used |= set_eps(inner, self.given)
        return module

    def _method(self, name: str) -> Any:
        """Called as a whole, as modules are: some make their parameters before their forward is entered."""
        return self.object.__call__ if name == "forward" else super()._method(name)

    def running(self) -> Mapping[str, Any]:
        return {k: v for inner in self.object.modules() for k, v in running_in(inner).items()}

    @property
    def momentum(self) -> float | None:
        return next((m for inner in self.object.modules() if (m := momentum_in(inner)) is not None), None)


def _groups_of(thing: Any) -> dict[str, int]:
    """The number of groups that an instance is made for, whose other sizes follow its input."""
    held = {} if isinstance(thing, type) else attributes(thing)
    numbers = [n for name, n in held.items() if len(name) > 1 and role(name, ("groups",)) and type(n) is int and n > 0]
    return {"groups": numbers[0]} if numbers else {}


def _made(thing: Any, given: Given) -> tuple[Any, set[str]]:
    """An instance, of a class one in the number of groups that is asked for, and the roles that this used."""
    if not isinstance(thing, type):
        return thing, set()
    return assigned(thing, roles_of(thing, ("groups",)), given) if "groups" in given else (thing(), set())


class _Roles:
    """The roles of a layer's parameters: by their names, else by how y follows them, told once, on its first input.

    β is that by which y moves the same whatever x is.
    """

    def __init__(self) -> None:
        self._told: dict[str, str] = {}

    def of(
        self, names: list[str], values: list[Any], given: Given, answer: Callable[[Any, list[Any]], Any]
    ) -> list[str]:
        """The role of each parameter, "" where it has none; `answer` is y for some x and values."""
        places = [role(name, PARAMETERS) or self._told.get(name, "") for name in names]
        for k, value in enumerate(values):
            free = [one for one in PARAMETERS if one in given and one not in places]
            if places[k] or names[k] in self._told or not free or size(value) != size(given[free[0]]):
                continue
            x, moved = given["x"], [*values[:k], value + 0.5, *values[k + 1 :]]
            others = (x, x * x)
            first, second = (plain(answer(z, moved) - answer(z, values)) for z in others)
            if first is None or second is None or not first.any():
                continue
            same = np.allclose(first, second, rtol=0, atol=1e-2 * np.abs(first).max())
            one = "beta" if same else "gamma"
            places[k] = self._told[names[k]] = one if one in free else ""
        return places


_FIXED_MODE = "use_running_average"
"""What a Flax module is told its mode by, when it is made or when it is called."""


class FlaxModule(Style):
    """A Flax `linen.Module`: parameters and running statistics are held outside it."""

    family = "jax"

    def __init__(self, thing: Any, words: str) -> None:
        self.thing, self.words, self.roles = thing, words, _Roles()

    def sizes(self) -> Mapping[str, Any]:
        return _groups_of(self.thing)

    def begin(self, family: NumPy, given: Given) -> Run:
        return _FlaxModuleRun(self, family, given)


class _FlaxModuleRun(Run):
    def __init__(self, style: FlaxModule, family: NumPy, given: Given) -> None:
        import jax

        super().__init__(family, given)
        module, sized = _made(style.thing, given)
        wanted = {name: given["eps"] for name in ("epsilon", "eps") if hasattr(module, name) and "eps" in given}
        self.used = ({"eps"} if wanted else set()) | sized
        if getattr(module, _FIXED_MODE, None) is not None:  # it was made for one mode; as any module it has a twin
            wanted[_FIXED_MODE] = False
        self.module = module.clone(**wanted)
        self.modules = {"train": self.module, "test": self.module}
        if _FIXED_MODE in wanted:
            self.modules["test"] = self.module.clone(**{_FIXED_MODE: True})
        self.flags: dict[str, dict[str, bool]] = {"train": {}, "test": {}}
        for argument in arguments(self.module.__call__):
            if argument.name == _FIXED_MODE and _FIXED_MODE not in wanted:
                self.flags = {"train": {argument.name: False}, "test": {argument.name: True}}
            elif role(argument.name, ("training",)):
                self.flags = {"train": {argument.name: True}, "test": {argument.name: False}}
        variables = self.module.init(jax.random.PRNGKey(0), self.given["x"], **self.flags["train"])
        self.held = dict(variables)
        leaves, self.structure = jax.tree_util.tree_flatten_with_path(self.held.pop("params", {}))
        names, values = [str(getattr(path[-1], "key", "")) for path, _ in leaves], [value for _, value in leaves]
        places = style.roles.of(names, values, self.given, lambda x, values: self._answer(x, values, "train")[0])
        self.leaves = list(zip(places, values, strict=True))
        self.used |= {one for one, _ in self.leaves if one in self.given}

    def _apply(self, x: Any, parameters: dict[str, Any], mode: str) -> Any:
        values = [parameters[one].reshape(v.shape) if one in parameters else v for one, v in self.leaves]
        return self._answer(x, values, mode)

    def _answer(self, x: Any, values: list[Any], mode: str) -> Any:
        import jax

        tree = {"params": jax.tree_util.tree_unflatten(self.structure, values), **self.held}
        return self.modules[mode].apply(tree, x, mutable=list(self.held), **self.flags[mode])

    def forward(self, x: Any) -> Any:
        y = self.differentiated(lambda x, parameters: self._apply(x, parameters, "train")[0], x)
        self.held = dict(self._apply(x, self.parameters, "train")[1])
        return y

    def evaluate(self, x: Any) -> Any:
        if self.flags["train"] == self.flags["test"] and self.modules["train"] is self.modules["test"]:
            raise NoEvaluation
        return self.differentiated(lambda x, parameters: self._apply(x, parameters, "test")[0], x)

    def running(self) -> Mapping[str, Any]:
        import jax

        leaves, _ = jax.tree_util.tree_flatten_with_path(self.held)
        names = {"mean": "running_mean", "var": "running_var"}  # Flax's own names
        return {names[key]: v for path, v in leaves if (key := getattr(path[-1], "key", "")) in names}

    @property
    def momentum(self) -> float | None:
        return getattr(self.module, "momentum", None)


class KerasLayer(Style):
    """A Keras 3 layer on its torch or JAX backend; Keras itself computes float64 in float32."""

    dtypes = ("float32", "float16")

    def __init__(self, thing: Any, words: str) -> None:
        import keras

        self.thing, self.words, self.family = thing, words, keras.backend.backend()
        self.roles = _Roles()

    def sizes(self) -> Mapping[str, Any]:
        return _groups_of(self.thing)

    def begin(self, family: NumPy, given: Given) -> Run:
        return _KerasLayerRun(self, family, given)


class _KerasLayerRun(Run):
    def __init__(self, style: KerasLayer, family: NumPy, given: Given) -> None:
        super().__init__(family, given)
        original, sized = _made(style.thing, given)
        self.layer = original.from_config({**original.get_config(), "dtype": given["x"].dtype.name})
        self.used = set_eps(self.layer, given) | sized
        self.layer.build(given["x"].shape)
        weights = self.layer.trainable_variables
        self.held = [variable.value for variable in self.layer.non_trainable_variables]
        self.values = [weight.value for weight in weights]
        names = [weight.name for weight in weights]
        self.places = style.roles.of(
            names, self.values, self.given, lambda x, values: self._answer(x, values, training=True)[0]
        )
        self.used |= {one for one in self.places if one in self.given}

    def _apply(self, x: Any, parameters: dict[str, Any], *, training: bool) -> Any:
        own = zip(self.places, self.values, strict=True)
        values = [parameters[one].reshape(tuple(v.shape)) if one in parameters else v for one, v in own]
        return self._answer(x, values, training=training)

    def _answer(self, x: Any, values: list[Any], *, training: bool) -> Any:
        flag = {"training": training} if "training" in {a.name for a in arguments(self.layer.call)} else {}
        return self.layer.stateless_call(values, self.held, x, **flag)

    def forward(self, x: Any) -> Any:
        y = self.differentiated(lambda x, parameters: self._apply(x, parameters, training=True)[0], x)
        self.held = list(self._apply(x, self.parameters, training=True)[1])
        return y

    def evaluate(self, x: Any) -> Any:
        return self.differentiated(lambda x, parameters: self._apply(x, parameters, training=False)[0], x)

    def running(self) -> Mapping[str, Any]:
        names = [role(v.name, ("running_mean", "running_var")) for v in self.layer.non_trainable_variables]
        return {name: value for name, value in zip(names, self.held, strict=True) if name}

    @property
    def momentum(self) -> float | None:
        return momentum_in(self.layer)


class OnnxModel(Style):
    """An ONNX file, evaluated by ONNX's own reference; its γ and β are inputs, or initializers that are replaced."""

    family = "numpy"
    words = "an ONNX model (forward only)"
    has_backward = False
    may_have_backward = False

    def __init__(self, path: str) -> None:
        import onnx

        self.model = onnx.load(path)
        elem = self.model.graph.input[0].type.tensor_type.elem_type
        self.dtypes = (onnx.helper.tensor_dtype_to_np_dtype(elem).name,)
        for node in self.model.graph.node:
            trains = any(a.name == "training_mode" and a.i for a in node.attribute)
            if node.op_type == "BatchNormalization" and not trains:
                raise ValueError("it normalizes with stored statistics; export it in training mode")

    def sizes(self) -> Mapping[str, Any]:
        places = self.places()
        shapes = [list(i.dims) for i in self.model.graph.initializer if places.get(i.name) == "gamma"]
        return {"features": shapes[0]} if shapes else {}

    def places(self) -> dict[str, str]:
        """The names of γ and β in the graph, to their roles: by the normalization node, else by their own names."""
        found: dict[str, str] = {}
        for node in self.model.graph.node:
            if "Normalization" in node.op_type:
                found |= dict(zip(node.input[1:3], PARAMETERS, strict=False))
        names = [value.name for value in (*self.model.graph.input, *self.model.graph.initializer)]
        return found or {name: one for name in names if (one := role(name, PARAMETERS))}

    def begin(self, family: NumPy, given: Given) -> Run:
        return _OnnxRun(self, family, given)


class _OnnxRun(Run):
    def __init__(self, style: OnnxModel, family: NumPy, given: Given) -> None:
        super().__init__(family, given)
        import onnx

        self.model = onnx.ModelProto()
        self.model.CopyFrom(style.model)
        self.feeds = {}
        places = style.places()
        for held in self.model.graph.initializer:
            one = places.get(held.name, "")
            if one in self.given:
                held.CopyFrom(onnx.numpy_helper.from_array(self.given[one].reshape(tuple(held.dims)), held.name))
                self.used.add(one)
        held_names = {held.name for held in self.model.graph.initializer}
        for value in self.model.graph.input:
            one = places.get(value.name, "")
            if one in self.given and value.name not in held_names:
                self.feeds[value.name] = self.given[one]
                self.used.add(one)
        self.x = next(v.name for v in self.model.graph.input if v.name not in places and v.name not in held_names)

    def forward(self, x: Any) -> Any:
        from onnx.reference import ReferenceEvaluator

        return ReferenceEvaluator(self.model).run(None, {self.x: x, **self.feeds})[0]
