"""What does batch norm gain in one wide layer?"""

from bncheck.training.experiments.dense import gain, worse
from bncheck.training.laboratory.results import Results


def hold(results: Results) -> None:
    assert gain(results).min() >= 5  # the training loss is that many times lower at every epoch
    assert gain(results).mean() >= 10
    assert worse(results, "slow").sum(axis=1).min() >= 15  # and yet the test loss is higher
    assert worse(results, "slow")[:, 0].all()
    assert not worse(results, "fast")[:, 3:].any()
    assert not worse(results, "batch")[:, 3:].any()
    plain = results.values("test_accuracy", batch_norm=False)[:, -1]
    normal = results.values("slow_accuracy", batch_norm=True)[:, -1]
    assert plain.min() >= 0.96
    assert abs(normal - plain).max() <= 0.025  # in the end they differ by little
