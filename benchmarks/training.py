"""What a step of training costs in NumPy, beside torch on one thread: forward, backward and the optimizer."""

from __future__ import annotations

from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.result import Effort, Requirement, Result, Table
from benchmarks.tables import number
from benchmarks.timing import Call, apart
from bncheck.training.networks.architectures import dense
from bncheck.training.networks.modules import Linear
from bncheck.training.networks.network import Network
from bncheck.training.networks.normalization import Normalization
from bncheck.training.networks.optimizers import SGD, Adam

SIZES, BATCH, RATE = (64, *(100,) * 5, 10), 100, 1e-3
STEPS = 20
"""At a time between two readings of the clock."""

CASES = {"none": None, "batch_norm": "batch_norm", "layer_norm": "layer_norm"}
OPTIMIZERS = ("SGD", "Adam")


def run(effort: Effort) -> Result:
    """Times every network with every optimizer, in NumPy and in torch, each in a process of its own."""
    smoke = effort is Effort.SMOKE
    from benchmarks import peers  # noqa: F401  # it says what is missing where torch is

    rows, ratios = [], {}
    for name in ["batch_norm"] if smoke else CASES:
        for optimizer in OPTIMIZERS[: 1 if smoke else None]:
            contenders = {who: (who, name, optimizer) for who in ("numpy", "torch")}
            best = {who: t / STEPS for who, t in apart(contender, contenders, rounds=2 if smoke else 15).items()}
            ratio = ratios[name, optimizer] = best["torch"] / best["numpy"]
            rows.append((f"{name}, {optimizer}", number(best["numpy"]), number(best["torch"]), number(ratio)))
    return Result(
        _TITLE,
        (Table(("network", "NumPy", "torch", "torch ÷ NumPy"), tuple(rows), _NOTES),),
        tuple(
            Requirement(
                f"torch ÷ NumPy, {name}, {optimizer}", ratios[name, optimizer], 2, at_least=True, judged=not smoke
            )
            for name, optimizer in ratios
        ),
    )


_TITLE = "A step of training, in milliseconds"

_NOTES = (
    "A network of 64-100×5-10 ReLUs in float32, a batch of 100: loss, every gradient and the optimizer's step, on one "
    "thread. NumPy: bncheck's networks, whose normalization gradients are derived and lowered; torch: `nn.Sequential`, "
    "`cross_entropy`, `torch.optim`. Best of interleaved rounds of 20 steps, each contender in a process of its own. "
    "Half of NumPy's time without a normalization is products of matrices, in which the two do not differ."
)


def contender(who: str, name: str, optimizer: str) -> Call:
    """Twenty steps of one of the two, from the same weights and on the same batch."""
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(BATCH, SIZES[0])).astype(np.float32), rng.integers(SIZES[-1], size=BATCH)
    network = dense(SIZES, rng, normalization=CASES[name])
    if who == "torch":
        return _in_torch(network, x, labels, optimizer)
    own = {"SGD": SGD, "Adam": Adam}[optimizer](RATE)

    threadpool_limits(1, user_api="blas")  # for as long as this process lives

    def steps() -> None:
        for _ in range(STEPS):
            network.step(x, labels)
            own.step(network)

    return steps


def _in_torch(network: Network, x: Any, labels: Any, optimizer: str) -> Call:
    import torch

    torch.set_num_threads(1)
    layers: list[Any] = []
    for module in network.modules:
        if isinstance(module, Linear):
            layers.append(torch.nn.Linear(*module.parameters["weight"].shape))
            with torch.no_grad():
                layers[-1].weight.copy_(torch.from_numpy(module.parameters["weight"].T.copy()))
                layers[-1].bias.zero_()
        elif isinstance(module, Normalization):
            width = module.parameters["gamma"].size
            layers.append(torch.nn.BatchNorm1d(width) if module.state else torch.nn.LayerNorm(width))
        else:
            layers.append(torch.nn.ReLU())
    model = torch.nn.Sequential(*layers)
    stepping = getattr(torch.optim, optimizer)(model.parameters(), lr=RATE)
    batch, targets = torch.from_numpy(x), torch.from_numpy(labels)
    ours = float(network.step(x, labels))
    theirs = torch.nn.functional.cross_entropy(model(batch), targets).item()
    if not abs(ours - theirs) < 1e-4 * ours:
        raise ArithmeticError(f"the two networks differ: {ours} and {theirs}")

    def steps() -> None:
        for _ in range(STEPS):
            stepping.zero_grad()
            torch.nn.functional.cross_entropy(model(batch), targets).backward()
            stepping.step()

    return steps
