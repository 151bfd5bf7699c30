"""Keras and torch train the same networks from the same weights: the first losses are the same.

Within what moving every initial weight by a few units of roundoff does to these very losses: torch in float64, where a
difference in any rule, a momentum, an eps, an axis, is thousands of times as large; Keras in float32, in which it
computes whatever it is told.
"""

from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pytest
from test_networks import in_torch

from bncheck.case import Array
from bncheck.formats import Format
from bncheck.training.laboratory.data import Data, digits
from bncheck.training.laboratory.fitting import fit, one_thread
from bncheck.training.networks.architectures import convolutional, dense, wide
from bncheck.training.networks.modules import Convolution, Flatten, Linear, MaxPool, Module, ReLU
from bncheck.training.networks.network import Network
from bncheck.training.networks.normalization import Normalization
from bncheck.training.networks.optimizers import SGD, Adam, Momentum, Optimizer, RMSprop

STEPS = 5
MOVED = 64
"""By how many roundoffs each weight is moved: an ordinary backward pass adds up so many."""


def first_losses(network: Network, optimizer: Optimizer, data: Data, batch: int) -> Array:
    with one_thread():
        return np.array(fit(network, optimizer, data, batch=batch, steps=STEPS, seed=0))


def tolerance(make: Callable[[], Network], optimizer: Callable[[], Optimizer], data: Data, batch: int) -> Array:
    """The largest change of each loss when the weights are moved by roundings, over four draws."""
    base, changes = first_losses(make(), optimizer(), data, batch), []
    moved = MOVED * Format.of(make().values.dtype).roundoff
    for seed in range(4):
        network = make()
        signs = np.random.default_rng(seed).choice((-1, 1), size=network.values.shape)
        network.values *= (1 + moved * signs).astype(network.values.dtype)
        changes.append(np.abs(first_losses(network, optimizer(), data, batch) - base))
    return np.asarray(4 * np.max(changes, axis=0) + moved * base)


def doubled() -> Data:
    """The digits in float64, each in a row."""
    return digits().flat.astype(np.float64)


def in_keras(network: Network, shape: tuple[int, ...]) -> Any:
    """The same network as a Keras model, its weights and settings taken over."""
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input(shape), *(keras_layer(keras, module) for module in network.modules)])
    for module, layer in zip(network.modules, model.layers, strict=True):
        if isinstance(module, Normalization):
            ours = [*module.parameters.values(), *module.state.values()]
            layer.set_weights([value.ravel() for value in ours])
        elif module.parameters:
            layer.set_weights(list(module.parameters.values()))
    return model


def keras_layer(keras: Any, module: Module) -> Any:
    layers = keras.layers
    if isinstance(module, Linear):
        return layers.Dense(module.parameters["weight"].shape[1])
    if isinstance(module, Convolution):
        return layers.Conv2D(module.parameters["weight"].shape[-1], 3, padding="same")
    if isinstance(module, Normalization):
        momentum = 1 - module.modes[True].settings["new_weight"]
        return layers.BatchNormalization(momentum=momentum, epsilon=module.eps)
    if isinstance(module, MaxPool):
        return layers.MaxPooling2D(2)
    if isinstance(module, Flatten):
        return layers.Flatten()
    return layers.Activation("relu" if isinstance(module, ReLU) else "sigmoid")


def losses_in_keras(model: Any, optimizer: Any, data: Data, batch: int) -> Array:
    keras = pytest.importorskip("keras")
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    batches = data.batches(batch, np.random.default_rng([0, 1]))
    return np.array([float(model.train_on_batch(x, y)) for x, y in islice(batches, STEPS)])


KERAS: dict[str, tuple[Callable[[], Network], Callable[[], Optimizer], str, int]] = {
    "dense": (
        lambda: wide(
            64, 1000, 10, np.random.default_rng(0), batch_norm=True, eps=1e-3, new_weight=0.01
        ),
        Adam,
        "Adam",
        64,
    ),
    "convolution": (
        lambda: convolutional(
            (8, 8, 1), 10, np.random.default_rng(0), normalization="batch_norm", eps=1e-3, new_weight=0.01,
        ),
        RMSprop,
        "RMSprop",
        32,
    ),
}  # fmt: skip
"""The two networks of the courses, with the optimizers that Keras has under the same names."""


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("name", list(KERAS))
def test_keras_has_the_same_losses(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")  # unless a Keras that was imported before has another
    keras = pytest.importorskip("keras")
    make, optimizer, title, batch = KERAS[name]
    own = digits() if name == "convolution" else digits().flat
    model = in_keras(make(), own.x_train.shape[1:])
    theirs = losses_in_keras(model, getattr(keras.optimizers, title)(), own, batch)
    ours, bound = first_losses(make(), optimizer(), own, batch), tolerance(make, optimizer, own, batch)
    assert (np.abs(theirs - ours) <= bound).all(), (theirs - ours, bound)
    assert (bound < 1e-3 * ours).all()
    assert ours[-1] != ours[0]


NORMS = (None, "batch_norm", "layer_norm", "group_norm", "rms_norm")


def sized(norm: str | None) -> Network:
    return dense((64, 30, 30, 30, 10), np.random.default_rng(1), normalization=norm, dtype=np.float64)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("optimizer", ["SGD", "Momentum", "Adam"])
def test_torch_has_the_same_losses(norm: str | None, optimizer: str) -> None:
    torch = pytest.importorskip("torch")
    options: dict[str, Callable[[], Optimizer]] = {
        "SGD": lambda: SGD(0.1),
        "Momentum": lambda: Momentum(0.1),
        "Adam": lambda: Adam(1e-3, eps=1e-30),  # where ε counts, torch adds it elsewhere
    }
    own = doubled()
    forward, parameters = in_torch(sized(norm))
    stepping = {
        "SGD": lambda: torch.optim.SGD(parameters, lr=0.1),
        "Momentum": lambda: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
        "Adam": lambda: torch.optim.Adam(parameters, lr=1e-3, eps=1e-30),
    }[optimizer]()
    theirs = []
    for x, labels in islice(own.batches(50, np.random.default_rng([0, 1])), STEPS):
        stepping.zero_grad()
        loss = torch.nn.functional.cross_entropy(forward(torch.tensor(x)), torch.tensor(labels))
        loss.backward()
        stepping.step()
        theirs.append(loss.item())
    ours = first_losses(sized(norm), options[optimizer](), own, 50)
    bound = tolerance(lambda: sized(norm), options[optimizer], own, 50)
    assert (np.abs(np.array(theirs) - ours) <= bound).all(), (theirs - ours, bound)
    assert (bound < 1e-9 * ours).all()


def test_another_rule_would_be_seen() -> None:
    """With an eps of torch in the network, or another average in Adam, the losses are not those of Keras."""
    make, optimizer, _, batch = KERAS["dense"]
    own = digits().flat
    ours, bound = first_losses(make(), optimizer(), own, batch), tolerance(make, optimizer, own, batch)
    other = make()
    other.normalizations[0].eps = 1e-5
    assert (np.abs(first_losses(other, optimizer(), own, batch) - ours) > bound).all()
    assert (np.abs(first_losses(make(), Adam(betas=(0.89, 0.999)), own, batch) - ours)[2:] > bound[2:]).all()
