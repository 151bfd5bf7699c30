"""The loop that fits a network to data, and the one BLAS thread that it runs on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from bncheck.training.laboratory.data import Data
from bncheck.training.networks.network import Network
from bncheck.training.networks.optimizers import Optimizer


@contextmanager
def one_thread() -> Iterator[None]:
    """BLAS on one thread: more only slow such small products down, and their sums would depend on how many there are.

    What overflows on the way is no news: a rate that is too large is part of the question.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"), np.errstate(all="ignore"):
        yield


def blas() -> str:
    """Which library multiplies NumPy's matrices, and for which processors: the last digits depend on it."""
    from threadpoolctl import threadpool_info

    found = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    pools = [pool for pool in found if "numpy" in pool["filepath"]] or found[:1]  # SciPy brings one of its own
    return (
        ", ".join(f"{p['internal_api']} {p['version']} {p.get('architecture', '')}".strip() for p in pools) or "unknown"
    )


def fit(
    network: Network,
    optimizer: Optimizer,
    data: Data,
    *,
    batch: int,
    steps: int,
    seed: int,
    watch: Callable[[int, float], bool | None] = lambda step, loss: None,
) -> list[float]:
    """Trains for so many mini-batches; the loss of each. `watch` sees each step, counted from 1, and may end it: True.

    A loss that is no finite number any more ends it, too.
    """
    losses: list[float] = []
    batches = data.batches(batch, np.random.default_rng([seed, 1]))
    for step, (x, labels) in zip(range(1, steps + 1), batches, strict=False):
        losses.append(float(network.step(x, labels)))
        optimizer.step(network)
        if watch(step, losses[-1]) or not np.isfinite(losses[-1]):
            break
    return losses
