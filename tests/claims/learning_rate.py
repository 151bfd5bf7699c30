"""Does batch norm allow higher learning rates?"""

import numpy as np

from bncheck.training.experiments.learning_rate import arrivals, ladder, largest, sigmoids
from bncheck.training.laboratory.results import Results


def hold(results: Results) -> None:
    for setting in sigmoids(results):
        assert arrivals(results, batch_norm=True, **setting).max() <= 300, setting
        plain = np.nan_to_num(arrivals(results, batch_norm=False, **setting), nan=np.inf)
        assert plain.min() >= 800, setting
    assert np.isnan(arrivals(results, batch_norm=False, scale=0.01, rate=0.1)).all()
    rates = {bn: largest(results, batch_norm=bn) or 0 for bn in (False, True)}
    assert rates[False] >= 0.3
    assert rates[True] >= 9.9 * rates[False]
    without, normal = (ladder(results, batch_norm=bn) for bn in (False, True))
    assert without[1.0].max() <= 0.5
    assert normal[31.6].max() <= 0.5  # batch norm has a limit, too
    assert normal[0.001].max() < 0.9  # nor does it help where the rate is too small
    best = [max(test.mean() for test in found.values()) for found in (without, normal)]
    assert abs(best[0] - best[1]) <= 0.02  # and in the end it is no better
