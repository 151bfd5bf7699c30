"""Is a bias before batch norm good for anything?"""

from __future__ import annotations

from itertools import pairwise

from bncheck.training.experiments.bias import ADAM, worst
from bncheck.training.laboratory.results import Results


def hold(results: Results) -> None:
    relu = {"activation": "relu", "batch_norm": True}
    for dtype, rounding in (("float32", 2**-24), ("float64", 2**-53)):
        ratio = worst(results, "ratio", **relu, dtype=dtype)
        assert 0.1 * rounding < ratio.low <= ratio.high < 30 * rounding, dtype  # rounding, and not zero
    plain = worst(results, "ratio", activation="relu", batch_norm=False)
    assert plain.low > 0.05

    assert worst(results, "loss", **relu, dtype="float64").high < 1e-13
    assert worst(results, "weights", **relu, dtype="float64").high < 1e-13
    assert worst(results, "weights", activation="tanh").high < 1e-5
    single = worst(results, "weights", **relu, dtype="float32").high
    assert 1e-5 < single < 0.1  # where a ReLU was switched, rounding has grown
    assert any(run.measured["parted"] is not None for run in results.where(**relu, dtype="float32"))
    assert all(run.measured["parted"] is None for run in results.where(**relu, dtype="float64"))

    walked = [
        worst(results, "walk", **relu, dtype="float32", optimizer=name).high
        for name in ("SGD", ADAM, "Adam ε 1e-8", "Adam ε 1e-12")
    ]
    for one, other in pairwise(walked):
        assert other > 3 * one
    assert walked[0] < 1e-6
    needed = worst(results, "last", **relu, dtype="float32", optimizer="Adam ε 1e-12").low
    assert walked[-1] > 0.1 * needed  # with next to no ε noise takes steps like those of a bias that is needed
    assert walked[1] < 0.1 * needed  # with Keras's ε it does not
