"""Which wrong gradients can be seen in a learning curve?"""

from bncheck.training.experiments.wrong_gradients import NONE, bugs, catalogue, hidden, outcomes, right, told, untrained
from bncheck.training.laboratory.results import Results


def hold(results: Results) -> None:
    assert sorted([*bugs(results), *untrained()]) == sorted(bug.id for bug in catalogue())  # none is left out
    for net, layer in (("dense", "batch_norm"), ("dense", "layer_norm"), ("images", "batch_norm")):
        for run in results.where(bug=NONE, net=net, layer=layer):
            assert run.measured["test"] >= 0.9, (net, layer, run.setting["depth"])
    both = set(hidden(results, deep=False)) & set(hidden(results, deep=True))
    assert len(both) >= len(bugs(results)) / 2  # most are not told
    assert {"variance-path-missing", "gamma-missing", "ddof", "eps-mismatch", "one-element"} <= both
    shallow, deep = results.settings("depth", bug="zero")
    for name in ("path-sign", "zero", "dbeta-not-dy", "returns-dy"):
        assert told(results, name, shallow), name
        assert told(results, name, deep), name
    for name in ("axis-wrong", "not-reduced"):  # their shapes do not go together
        assert set(outcomes(results, name).values()) == {None}
    zero = results.values("test", bug="zero", depth=shallow)
    assert zero.mean() >= 0.7  # even without any gradient through the layer, the last one learns
    missing = results.values("test", bug="mean-path-missing", depth=deep)
    assert missing.mean() < right(results, "mean-path-missing", deep).low - 0.2  # which depth alone shows
