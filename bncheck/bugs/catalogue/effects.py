"""Bugs that are in no formula: what happens to the caller's arrays, and the dtype of the answer."""

from __future__ import annotations

from bncheck.bugs.catalogue.bug import Bug

BUGS = (
    Bug(
        "mutates-input",
        "the caller's x is changed in place",
        "Write to a copy: x - mean, not x -= mean.",
        hides="The answer is right; what uses x afterwards is not.",
        wrong="x -= x.mean(axis)",
        right="centred = x - x.mean(axis)",
        seen=("Paddle#21065",),
        effect="input",
    ),
    Bug(
        "state-changed",
        "the caller's running statistics are changed by a call that should leave them alone",
        "Update the running statistics in training mode only, once for each batch.",
        hides="One evaluation is right; the next is another.",
        wrong="running_mean += weight * (mean - running_mean)",
        right="if training:\n    running_mean += weight * (mean - running_mean)",
        seen=(
            "aprender#2166",
            "pytorch#20967",
        ),
        effect="state",
    ),
    Bug(
        "dtype-changed",
        "the answer has another dtype than x",
        "Create arrays with the dtype of x, and keep constants as Python numbers.",
        hides="The numbers are right, and better than asked; memory and speed are not.",
        wrong="dx = np.zeros(x.shape)",
        right="dx = np.zeros_like(x)",
        effect="dtype",
    ),
)
