"""Are a few entries of the gradient far larger than the rest?"""

from __future__ import annotations

from bncheck.training.experiments.tails import trained, watched
from bncheck.training.laboratory.results import Results


def hold(results: Results) -> None:
    plain, normal = (watched(results, "kurtosis", "relu", batch_norm=bn) for bn in (False, True))
    assert plain.min() >= 10
    assert plain.mean() <= 50
    assert normal.max() <= 6
    assert normal.min() >= 3
    plain, normal = (watched(results, "largest", "relu", batch_norm=bn) for bn in (False, True))
    assert plain.min() >= 1.5 * normal.max()
    plain, normal = (watched(results, "one_direction", "relu", batch_norm=bn) for bn in (False, True))
    assert plain.min() >= 0.5  # all images of a batch ask for nearly the same
    assert normal.max() <= 0.3
    plain, normal = (watched(results, "kurtosis", "tanh", batch_norm=bn) for bn in (False, True))
    assert plain.max() <= 7  # without ReLUs the tails are light anyway
    assert plain.mean() <= 1.5 * normal.mean()
    before = watched(results, "kurtosis", "relu", batch_norm=True)
    assert trained(results, "relu", batch_norm=True).mean() >= 1.3 * before.mean()  # and in training they grow
    drift = results.values("drift", activation="relu", batch_norm=False).mean(axis=0)
    assert drift[7] >= 1.2 * drift[1]
    assert watched(results, "drift", "relu", batch_norm=True).max() <= 1
