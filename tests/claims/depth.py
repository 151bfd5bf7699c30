"""Does the first layer's gradient vanish?"""

from bncheck.training.experiments.depth import factors, hidden, ratios
from bncheck.training.laboratory.results import Results


def hold(results: Results) -> None:
    start, end = 0, -1
    plain, normal = (hidden(results, "sigmoid", batch_norm=bn) for bn in (False, True))
    assert ratios(plain)[:, start].max() <= 1e-5
    assert 0.2 <= factors(plain)[:, start].min() <= factors(plain)[:, start].max() <= 0.27
    assert ratios(plain)[:, end].max() <= 1e-3  # training does not help
    assert ratios(normal).min() >= 0.5
    assert 0.95 <= factors(normal)[:, start].min() <= factors(normal)[:, start].max() <= 1.1
    assert results.values("accuracy", activation="sigmoid", batch_norm=False).max() <= 0.2
    assert results.values("accuracy", activation="sigmoid", batch_norm=True).min() >= 0.97
    for activation in ("tanh", "relu"):  # nothing vanishes without batch norm either
        plain = hidden(results, activation, batch_norm=False)
        assert ratios(plain).min() >= 0.25, activation
        assert 0.9 <= factors(plain)[:, start].min() <= factors(plain)[:, start].max() <= 1.1, activation
        assert results.values("accuracy", activation=activation, batch_norm=False).min() >= 0.93, activation
    grown = factors(hidden(results, "relu", batch_norm=True))[:, start]
    assert grown.min() >= 1.06  # with ReLUs it is batch norm that the gradient grows under
