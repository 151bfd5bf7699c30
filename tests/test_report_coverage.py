"""The table of what is covered says what a campaign does, layer by layer."""

import pytest

from bncheck.campaign.run import verify
from bncheck.cli import run
from bncheck.formats import DTYPES
from bncheck.frameworks import FRAMEWORKS
from bncheck.inputs.recipes import REGIMES
from bncheck.layers import LAYERS


@pytest.mark.slow
def test_the_table_names_everything_and_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "--list"]) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    rows = {line.split()[0] for line in printed.split("\n\n")[0].splitlines()[1:]}
    assert rows == set(LAYERS)
    joined = " ".join(printed.split())
    for name in (*DTYPES, *REGIMES, *FRAMEWORKS, *map(str, LAYERS["group_norm"].layouts)):
        assert name in joined


def test_it_counts_what_the_campaign_counts(capsys: pytest.CaptureFixture[str]) -> None:
    report = verify((LAYERS["batch_norm"],), cases=100).layers[0]
    assert run(["verify", "--list", "--layer", "batch_norm"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("batch_norm "))
    assert row.split()[-2:] == [str(len(report.theorems)), str(len(report.result.revealed))]
