"""Does a gradient explode with batch norm?"""

from bncheck.training.experiments.explosion import LARGE, SMALL, predicted
from bncheck.training.laboratory.results import Results


def hold(results: Results) -> None:
    relu = results.values("factor", activation="relu", batch_norm=True, batch=LARGE)
    assert abs(relu / predicted("relu", LARGE) - 1).max() <= 0.02  # π/(π − 1)
    linear = results.values("factor", activation="linear", batch_norm=True, batch=SMALL)
    assert abs(linear.mean() / predicted("linear", SMALL) - 1) <= 0.01  # (B − 2)/(B − 3), here 1.2
    for batch, near in ((4, 0.08), (16, 0.01), (32, 0.01), (128, 0.015)):
        found = results.spread("factor", activation="linear", batch_norm=True, batch=batch)
        assert abs(found.mean / predicted("linear", batch) - 1) <= near, batch
    plain = results.values("factor", activation="relu", batch_norm=False)
    assert abs(plain - 1).max() <= 0.015  # He's weights need no batch norm
    batches = results.settings("batch", activation="relu", batch_norm=True)
    means = [results.spread("factor", activation="relu", batch_norm=True, batch=batch).mean for batch in batches]
    assert means == sorted(means, reverse=True)  # the smaller the batch, the faster
    assert means[0] > 2.5
    assert results.values("squares", activation="relu", batch_norm=True, batch=LARGE)[:, 0].min() >= 1e9
    tanh, sigmoid = (results.spread("factor", activation=name, batch_norm=True) for name in ("tanh", "sigmoid"))
    assert 1.02 < sigmoid.low <= sigmoid.high < 1.1 < tanh.low <= tanh.high < relu.min()
