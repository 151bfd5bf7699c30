"""The parts of networks, and whole networks: against finite differences, against torch, within computed tolerances."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from bncheck.bugs.catalogue import BUGS
from bncheck.case import Array, Case, Layout
from bncheck.errors import InvalidInput
from bncheck.formats import Format
from bncheck.layers import LAYERS
from bncheck.oracles import finite_difference, symbolic
from bncheck.tolerances.intervals import Radius
from bncheck.training.networks.architectures import convolutional, dense, wide
from bncheck.training.networks.enclosure import enclosed
from bncheck.training.networks.loss import softmax_cross_entropy
from bncheck.training.networks.modules import (
    ACTIVATIONS,
    Convolution,
    Flatten,
    Linear,
    MaxPool,
    Module,
    ReLU,
    Sigmoid,
    Tanh,
)
from bncheck.training.networks.network import Network
from bncheck.training.networks.normalization import LAYOUTS, MODES, Normalization
from bncheck.training.networks.optimizers import SGD, Adam, Momentum, Optimizer, RMSprop
from bncheck.training.networks.planted import Planted, planted

RNG = np.random.default_rng(7)
DOUBLE = Format.of("float64")


def drawn(*shape: int) -> Array:
    return np.asarray(RNG.normal(size=shape))


PARTS: dict[str, tuple[Callable[[], Module], Array]] = {
    "linear": (lambda: Linear(drawn(4, 3), drawn(3)), drawn(5, 4)),
    "linear-without-bias": (lambda: Linear(drawn(4, 3), None), drawn(5, 4)),
    "convolution": (lambda: Convolution(drawn(3, 3, 2, 3), drawn(3)), drawn(2, 4, 3, 2)),
    "max-pool": (MaxPool, RNG.permutation(8.0 * np.arange(8) / 8).reshape(1, 4, 2, 1)),  # no two nearly equal
    "flatten": (Flatten, drawn(2, 2, 2, 3)),
    "sigmoid": (Sigmoid, 3 * drawn(4, 5)),
    "tanh": (Tanh, drawn(4, 5)),
    "relu": (ReLU, drawn(4, 5) + np.array([[3], [-3], [4], [-5]])),  # away from its kink
    "linear-activation": (ACTIVATIONS["linear"], drawn(4, 5)),
}


def with_radii(module: Module, values: Mapping[str, Any], x: Any, dy: Array) -> tuple[Any, Any, dict[str, Any]]:
    """Output, input gradient and parameter gradients on midpoint-radius arrays."""
    kept = dict(module.parameters)
    module.parameters = {name: Radius.exact(value, DOUBLE) for name, value in values.items()}
    y = module.forward(Radius.exact(x, DOUBLE), training=True)
    dx = module.backward(Radius.exact(dy, DOUBLE))
    module.parameters = kept
    return y, dx, dict(module.gradients)


def in_a_row(function: Callable[[Array], Array], start: Array) -> finite_difference.Forward:
    """A function of one array as a black box on rows: its outputs, and zeros up to the length of the row."""

    def forward(x: Array, parameters: Mapping[str, Array]) -> Array:
        rows = np.zeros_like(x)
        for row, given in zip(rows, x, strict=True):
            answer = function(given[: start.size].reshape(start.shape)).ravel()
            row[: answer.size] = answer
        return rows

    return forward


@pytest.mark.parametrize("name", list(PARTS))
def test_every_part_is_the_gradient_of_its_forward(name: str) -> None:
    """By finite differences with their own error: of the input, and of each parameter."""
    make, x = PARTS[name]
    module = make()
    y = module.forward(x, training=True)
    dy = drawn(*y.shape)
    dx = module.backward(dy)
    gradients = dict(module.gradients)
    radii = with_radii(module, module.parameters, x, dy)
    for moved, start in {"x": x, **module.parameters}.items():

        def function(value: Array, moved: str = moved) -> Array:
            kept = dict(module.parameters)
            module.parameters |= {} if moved == "x" else {moved: value}
            answer = module.forward(value if moved == "x" else x, training=True)
            module.parameters = kept
            return np.asarray(answer)

        size = max(start.size, y.size)
        row = np.zeros((1, size))
        row[0, : start.size], upstream = start.ravel(), np.zeros((1, size))
        upstream[0, : y.size], noise = dy.ravel(), np.zeros((1, size))
        noise[0, : y.size] = radii[0].radius.ravel()
        case = Case(Layout("ND", "D", "D"), row, upstream)
        found = finite_difference.vjp(in_a_row(function, start), case, noise, grouped=False)["dx"]
        got = (dx if moved == "x" else gradients[moved]).ravel()
        off = np.abs(found.value[0, : start.size] - got)
        enclosing = (radii[1] if moved == "x" else radii[2][moved]).radius.ravel()
        assert (off <= found.error[0, : start.size] + enclosing).all(), moved
        assert found.error.max() < 1e-5 * np.abs(got).max()


def test_a_wrong_part_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tanh, "backward", lambda self, dy: dy * (1 - self.y))
    with pytest.raises(AssertionError):
        test_every_part_is_the_gradient_of_its_forward("tanh")
    monkeypatch.setattr(
        Linear, "backward", lambda self, dy: (self.learn(1.0001 * dy), dy @ self.parameters["weight"].T)[1]
    )
    with pytest.raises(AssertionError):
        test_every_part_is_the_gradient_of_its_forward("linear")


@pytest.mark.parametrize("name", [name for name in PARTS if name != "flatten"])
def test_every_part_is_what_torch_computes(name: str) -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    make, x = PARTS[name]
    module = make()
    y = module.forward(x, training=True)
    dy = drawn(*y.shape)
    module.backward(dy)
    given = {n: torch.tensor(v, requires_grad=True) for n, v in {"x": x, **module.parameters}.items()}
    calls: dict[str, Callable[..., Any]] = {
        "linear": lambda x, weight, bias: x @ weight + bias,
        "linear-without-bias": lambda x, weight: x @ weight,
        "convolution": lambda x, weight, bias: functional.conv2d(
            x.permute(0, 3, 1, 2), weight.permute(3, 2, 0, 1), bias, padding=1
        ).permute(0, 2, 3, 1),
        "max-pool": lambda x: functional.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1),
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "relu": torch.relu,
        "linear-activation": lambda x: 1 * x,
    }
    theirs = calls[name](**given) if len(given) > 1 else calls[name](given["x"])
    theirs.backward(torch.tensor(dy))
    own, dx, gradients = with_radii(module, module.parameters, x, dy)
    within(own, theirs.detach().numpy())
    for moved, tensor in given.items():
        within(dx if moved == "x" else gradients[moved], tensor.grad.numpy())


def within(known: Radius, got: Array) -> None:
    assert known.shape == got.shape
    assert (np.abs(known.midpoint - got) <= known.radius).all()


def test_cross_entropy_is_that_of_torch_and_its_gradient_is_its_own() -> None:
    torch = pytest.importorskip("torch")
    scores, labels = 4 * drawn(6, 5), RNG.integers(5, size=6)
    known = softmax_cross_entropy(Radius.exact(scores, DOUBLE), labels)
    given = torch.tensor(scores, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(given, torch.tensor(labels))
    loss.backward()
    within(known.value, loss.detach().numpy())
    within(known.gradient, given.grad.numpy())
    huge = softmax_cross_entropy(1e4 * scores, labels)
    assert np.isfinite(huge.value)
    assert np.isfinite(huge.gradient).all()


NORMALIZED = [(name, axes) for name, layouts in LAYOUTS.items() for axes in layouts]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "axes"), NORMALIZED)
def test_a_normalization_is_the_layer_of_its_derivation(name: str, axes: int, training: bool) -> None:
    """On plain arrays as on a validated case, to the last bit of a float64 or nearly so."""
    features = (6,) if axes == 2 else (2, 2, 6)
    norm = Normalization(name, features, groups=3)
    norm.parameters = {n: RNG.uniform(1, 2, size=p.shape) for n, p in norm.parameters.items()}
    norm.state = {n: RNG.uniform(1, 2, size=s.shape) for n, s in norm.state.items()}
    before = dict(norm.state)
    x, dy = drawn(5, *features), drawn(5, *features)
    y, dx = norm.forward(x, training), norm.backward(dy)
    layer = LAYERS[MODES.get(name, (name, name))[0 if training else 1]]
    shape = (5, *norm.features)
    stored = norm.layout.parameter_shape(shape)
    case = Case(
        norm.layout, x.reshape(shape), dy.reshape(shape), {n: p.reshape(stored) for n, p in norm.parameters.items()},
        state={n: before[n].reshape(stored) for n in layer.state}, settings=norm.modes[training].settings,
    )  # fmt: skip
    expected = symbolic.vjp(layer, case)
    np.testing.assert_allclose(y.reshape(shape), expected["y"], rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(dx.reshape(shape), expected["dx"], rtol=1e-12, atol=1e-13)
    for n, gradient in norm.gradients.items():
        np.testing.assert_allclose(gradient.reshape(stored), expected[f"d{n}"], rtol=1e-12, atol=1e-13)
    for n, value in norm.state.items():
        now = expected[f"new_{n}"] if training else before[n]
        np.testing.assert_allclose(np.reshape(value, stored), np.reshape(now, stored), rtol=1e-14)


def test_running_statistics_are_those_of_torch_but_for_the_divisor() -> None:
    torch = pytest.importorskip("torch")
    norm, theirs = Normalization("batch_norm", (3,)), torch.nn.BatchNorm1d(3, dtype=torch.float64)
    for _ in range(4):
        x = drawn(8, 3)
        norm.forward(x, training=True)
        theirs(torch.tensor(x))
    np.testing.assert_allclose(norm.state["running_mean"][0], theirs.running_mean.numpy(), rtol=1e-13)
    unbiased = 8 / 7 * (norm.state["running_var"][0] - 0.9**4) + 0.9**4
    np.testing.assert_allclose(unbiased, theirs.running_var.numpy(), rtol=1e-13)
    x = drawn(5, 3)
    for running in (theirs.running_mean, theirs.running_var):
        running.copy_(torch.tensor(norm.state["running_mean" if running is theirs.running_mean else "running_var"][0]))
    np.testing.assert_allclose(norm.forward(x, training=False), theirs.eval()(torch.tensor(x)).detach(), rtol=1e-12)


def test_a_normalization_without_parameters_and_of_unknown_name() -> None:
    norm = Normalization("layer_norm", (4,), affine=False)
    norm.forward(drawn(2, 4), training=True)
    assert norm.backward(drawn(2, 4)).shape == (2, 4)
    assert norm.gradients == {}
    with pytest.raises(InvalidInput, match="Did you mean batch_norm"):
        Normalization("batchnorm", (4,))
    with pytest.raises(InvalidInput, match="expected 3 sizes for instance_norm"):
        Normalization("instance_norm", (4,))


OPTIONS: dict[str | None, dict[str, Any]] = {"group_norm": {"groups": 2}}  # of two units, whose outputs are ±1

NETWORKS: dict[str, tuple[Callable[[np.random.Generator], Network], tuple[int, ...]]] = {
    **{
        f"{activation}-{norm}": (
            lambda rng, activation=activation, norm=norm: dense(  # type: ignore[misc]
                (12, 10, 10, 10, 5),
                rng,
                activation=activation,
                normalization=norm,
                dtype=np.float64,
                **OPTIONS.get(norm, {}),
            ),
            (8, 12),
        )
        for activation in ("sigmoid", "tanh", "relu")
        for norm in (None, "batch_norm", "layer_norm", "group_norm", "rms_norm")
    },
    "wide": (lambda rng: wide(12, 20, 5, rng, batch_norm=True, dtype=np.float64), (8, 12)),
    **{
        f"images-{norm}": (
            lambda rng, norm=norm: convolutional(  # type: ignore[misc]
                (4, 4, 1), 5, rng, normalization=norm, channels=(4, 4), units=6, dtype=np.float64
            ),
            (6, 4, 4, 1),
        )
        for norm in (None, "batch_norm", "layer_norm", "instance_norm", "group_norm", "rms_norm")
    },
}


def network_of(name: str) -> tuple[Network, Array, Array]:
    """The network with all parameters moved from where they begin, and a batch."""
    make, shape = NETWORKS[name]
    rng = np.random.default_rng(3)
    network = make(rng)
    network.values += 0.1 * rng.normal(size=network.values.shape)
    return network, rng.uniform(size=shape), rng.integers(5, size=shape[0])


def in_torch(network: Network) -> tuple[Callable[[Any], Any], list[Any]]:
    """The same network of torch's own functions, and its parameters in the order of `values`."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    given = {(m, n): torch.tensor(m.parameters[n], requires_grad=True) for m, n in network.parameters()}

    def module_of(module: Module, x: Any) -> Any:
        def own(name: str) -> Any:
            return given[module, name]

        if isinstance(module, Linear):
            return x @ own("weight") + own("bias")
        if isinstance(module, Convolution):
            images = functional.conv2d(x.permute(0, 3, 1, 2), own("weight").permute(3, 2, 0, 1), own("bias"), padding=1)
            return images.permute(0, 2, 3, 1)
        if isinstance(module, MaxPool):
            return functional.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
        if isinstance(module, Flatten):
            return x.reshape(len(x), -1)
        if isinstance(module, Normalization):
            return normalized(module, x, own)
        return {"Sigmoid": torch.sigmoid, "Tanh": torch.tanh, "ReLU": torch.relu}[type(module).__name__](x)

    def normalized(norm: Normalization, x: Any, own: Callable[[str], Any]) -> Any:
        """By torch's own function for each layer."""
        gamma, beta = own("gamma").ravel(), own("beta").ravel() if "beta" in norm.parameters else None
        name = norm.modes[False].layer.name
        images = x.permute(0, 3, 1, 2) if x.ndim == 4 else x
        if name == "batch_norm_eval":
            y = functional.batch_norm(images, None, None, gamma, beta, training=True)
        elif name == "instance_norm":
            y = functional.instance_norm(images, weight=gamma, bias=beta)
        elif name == "group_norm":
            y = functional.group_norm(images, norm.features[-2], gamma, beta)
        else:
            shape = norm.features
            weights = [gamma.reshape(shape), *([] if beta is None else [beta.reshape(shape)])]
            call = functional.layer_norm if name == "layer_norm" else functional.rms_norm
            return call(x, shape, *weights, eps=1e-5)
        return y.permute(0, 2, 3, 1) if x.ndim == 4 else y

    def forward(x: Any) -> Any:
        for module in network.modules:
            x = module_of(module, x)
        return x

    return forward, list(given.values())


@pytest.mark.parametrize("name", list(NETWORKS))
def test_every_gradient_of_a_whole_network_is_that_of_autograd(name: str) -> None:
    """In float64, within what rounding can do to the whole network, which is little beside the gradients."""
    torch = pytest.importorskip("torch")
    network, x, labels = network_of(name)
    forward, given = in_torch(network)
    batch = torch.tensor(x, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(forward(batch), torch.tensor(labels))
    loss.backward()
    known = enclosed(network, x, labels, np.float64)
    within(known["loss"], loss.detach().numpy())
    within(known["x"], batch.grad.numpy())
    gradients = [known[f"{network.modules.index(module)}.{n}"] for module, n in network.parameters()]
    scale = max(np.abs(radius.midpoint).max() for radius in gradients)
    for radius, tensor in zip(gradients, given, strict=True):
        within(radius, tensor.grad.numpy())
        assert radius.radius.max() < 1e-6 * scale
    network.passed(x, labels)
    for radius, (module, n) in zip(gradients, network.parameters(), strict=True):
        within(radius, module.gradients[n])


def test_a_wrong_network_is_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x, labels = network_of("tanh-batch_norm")
    known = enclosed(network, x, labels, np.float64)
    wrong = planted(network, BUGS["one-element"])
    wrong.passed(x, labels)
    with pytest.raises(AssertionError):
        within(known["0.weight"], wrong.modules[0].gradients["weight"])


def test_the_bound_of_a_wide_and_deep_network_says_little() -> None:
    """It is one for the worst case: what the README says of it."""
    network = dense((64, *(100,) * 5, 10), np.random.default_rng(0), normalization="batch_norm", dtype=np.float64)
    rng = np.random.default_rng(1)
    known = enclosed(network, rng.uniform(size=(100, 64)), rng.integers(10, size=100), np.float64)
    shares = [known[n].radius.max() / np.abs(known[n].midpoint).max() for n in ("0.weight", "15.weight")]
    assert shares[0] > 0.1
    assert shares[1] < 1e-4


def test_images_that_cannot_be_pooled_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"data=images of 6×8, expected height and width divisible by 4"):
        convolutional((6, 8, 1), 5, np.random.default_rng(0), normalization=None)


def test_the_enclosure_leaves_the_network_as_it_was() -> None:
    network, x, labels = network_of("relu-batch_norm")
    values, states = network.values.copy(), [dict(norm.state) for norm in network.normalizations]
    enclosed(network, x, labels, np.float64)
    assert all(module.parameters[name].base is network.values for module, name in network.parameters())
    np.testing.assert_array_equal(network.values, values)
    assert [norm.state for norm in network.normalizations] == states


def test_a_step_without_the_gradient_of_the_input_learns_the_same() -> None:
    for name in ("relu-batch_norm", "images-batch_norm"):
        network, x, labels = network_of(name)
        network.passed(x, labels)
        whole = network.gradient()
        network.step(x, labels)
        np.testing.assert_array_equal(network.gradient(), whole)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_dtype_stays_what_it_is(dtype: Any) -> None:
    flat = dense((12, 10, 5), np.random.default_rng(0), normalization="batch_norm", dtype=dtype)
    images = convolutional(
        (4, 4, 1), 5, np.random.default_rng(0), normalization="group_norm", channels=(4, 4), units=6, dtype=dtype
    )
    for network in (flat, images):
        x = np.ones((4, *((12,) if isinstance(network.modules[0], Linear) else (4, 4, 1))), dtype)
        assert network.step(x, np.zeros(4, int)).dtype == dtype
        for optimizer in (SGD(0.1), Momentum(0.1), Adam(), RMSprop()):
            optimizer.step(network)
            assert network.gradient().dtype == network.values.dtype == dtype
            assert all(module.gradients[name].dtype == dtype for module, name in network.parameters())


def optimizers(torch: Any, parameters: list[Any]) -> Iterator[tuple[Optimizer, Any]]:
    yield SGD(0.1), torch.optim.SGD(parameters, lr=0.1)
    yield Momentum(0.1, 0.8), torch.optim.SGD(parameters, lr=0.1, momentum=0.8)
    yield Adam(0.01, eps=1e-30), torch.optim.Adam(parameters, lr=0.01, eps=1e-30)  # where ε counts, they differ
    yield RMSprop(0.01, 0.9, eps=1e-30), torch.optim.RMSprop(parameters, lr=0.01, alpha=0.9, eps=1e-30)


@pytest.mark.parametrize("k", range(4))
def test_optimizers_step_as_those_of_torch(k: int) -> None:
    torch = pytest.importorskip("torch")
    start, gradients = drawn(6), drawn(5, 6)
    theirs = torch.tensor(start, requires_grad=True)
    own, other = list(optimizers(torch, [theirs]))[k]
    values = start.copy()
    for gradient in gradients:
        own.steps += 1
        values -= own.move(gradient.copy())
        theirs.grad = torch.tensor(gradient)
        other.step()
        np.testing.assert_allclose(values, theirs.detach().numpy(), rtol=1e-12)


def test_a_planted_bug_is_the_bug_of_the_catalogue() -> None:
    """On plain arrays as on a validated case: y and every gradient, for each bug that the layer can have."""
    layout, layer = LAYOUTS["batch_norm"][2], LAYERS["batch_norm_running"]
    planted_ones = [bug for bug in BUGS.values() if bug.planted and bug.edits(layer, layout, layer.parameters)]
    assert len(planted_ones) > 40
    x, dy = drawn(6, 4) + 1, drawn(6, 4)
    for bug in planted_ones:
        norm = Normalization("batch_norm", (4,))
        norm.parameters = {n: RNG.uniform(1, 2, size=(1, 4)) for n in norm.parameters}
        case = Case(
            layout, x, dy, {n: p[0] for n, p in norm.parameters.items()},
            state={n: s[0] for n, s in norm.state.items()}, settings={"new_weight": 0.1},
        )  # fmt: skip
        expected = bug.vjp(case, layer)
        wrong = Planted(norm, bug)
        np.testing.assert_allclose(wrong.forward(x, training=True), expected["y"], rtol=1e-13, atol=1e-13)
        if bug.id == "not-reduced":
            with pytest.raises(ValueError, match="broadcast"):
                wrong.backward(dy)
            continue
        np.testing.assert_allclose(wrong.backward(dy), np.broadcast_to(expected["dx"], x.shape), rtol=1e-12, atol=1e-13)
        for n in norm.parameters:
            got = np.broadcast_to(expected[f"d{n}"], (1, 4))
            np.testing.assert_allclose(wrong.gradients[n], got, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["mutates-input", "state-changed", "dtype-changed", "one-element"])
def test_an_effect_is_what_its_name_says(name: str) -> None:
    x, dy = drawn(6, 4).astype(np.float32), drawn(6, 4).astype(np.float32)
    right, other = (Normalization("batch_norm", (4,), dtype=np.float32) for _ in range(2))
    wrong = Planted(other, BUGS[name])
    given = x.copy()
    wrong.forward(given, training=True)
    right.forward(x, training=True)
    got, expected = wrong.backward(dy), right.backward(dy)
    assert (given != x).all() == (name == "mutates-input")
    assert (got.dtype != np.float32) == (name == "dtype-changed")
    assert np.allclose(wrong.state["running_mean"], right.state["running_mean"]) == (name != "state-changed")
    off = np.abs(got - expected).max() / np.abs(expected).max()
    assert (5e-6 < off < 2e-5) == (name == "one-element")
