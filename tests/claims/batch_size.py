"""How small may a batch be?"""

from bncheck.training.experiments.batch_size import KINDS
from bncheck.training.laboratory.results import Results


def hold(results: Results) -> None:
    def errors(kind: str, batch: int) -> float:
        return results.spread("error", kind=kind, batch=batch).mean

    assert results.spread("error", kind="batch_norm", batch=2).low >= 0.15
    assert errors("batch_norm", 2) >= 3 * errors("batch_norm", 4)
    assert errors("batch_norm", 4) >= 1.2 * errors("batch_norm", 32)
    for kind in KINDS[1:]:
        for batch in results.settings("batch"):
            assert abs(errors(kind, batch) - errors(kind, 32)) <= 0.02, (kind, batch)
    assert errors("batch_norm", 32) < errors("none", 32)
    assert errors("layer_norm", 2) < errors("none", 2)
    training, evaluation = (results.spread(name, kind="batch_norm", batch=2) for name in ("training", "evaluation"))
    assert training.low >= 1.6 * evaluation.high
    for kind in KINDS[1:]:  # which have one mode
        for run in results.where(kind=kind):
            assert abs(run.measured["training"] - run.measured["evaluation"]) <= 1e-3 * run.measured["evaluation"]
