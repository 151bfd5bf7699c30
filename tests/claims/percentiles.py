"""Does batch norm keep the input of a sigmoid in place while a network learns?"""

import numpy as np

from bncheck.training.experiments.percentiles import early, worst
from bncheck.training.laboratory.results import Results


def hold(results: Results) -> None:
    plain, normal = ({"rate": 1.0, "batch_norm": batch_norm} for batch_norm in (False, True))
    assert results.spread("range", **plain).low >= 1.8
    assert results.spread("range", **normal).high <= 0.5
    assert results.spread("evaluated", **normal).low > results.spread("range", **normal).high  # running ones lag
    assert worst(results, **plain).low >= 0.05
    assert worst(results, **normal).high <= 0.01
    for rate in results.settings("rate"):
        assert early(results, rate=rate, batch_norm=False) <= 0.02, rate  # the plateau is not one of saturation
    for run in results.where(**plain):
        low, median, high = np.array(run.measured["percentiles"])[:, run.measured["steps"].index(200)]
        assert median < -1.5  # wandered off
        assert high - low < 0.3  # and the same for every digit
    for run in results.where(**normal):
        low, _, high = np.array(run.measured["percentiles"])
        assert (high - low).min() >= 1
