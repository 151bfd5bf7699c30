"""Verify the gradients of batch normalization and its family.

One definition, independent gradients, one verdict, and a tolerance that is computed, not chosen. See the README for a
tour; the names below are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from bncheck.case import Case as Case
    from bncheck.case import Layout as Layout
    from bncheck.errors import BncheckError as BncheckError
    from bncheck.errors import InvalidDefinition as InvalidDefinition
    from bncheck.errors import InvalidInput as InvalidInput
    from bncheck.examination.examine import assert_gradients as assert_gradients
    from bncheck.examination.examine import check as check
    from bncheck.examination.one_case import Check as Check
    from bncheck.layers import LAYERS as LAYERS
    from bncheck.layers import Layer as Layer
    from bncheck.oracles.symbolic.derivation import derive as derive
    from bncheck.oracles.symbolic.lowering import lower as lower
    from bncheck.oracles.symbolic.proof import prove as prove
    from bncheck.tolerance.verdicts import Verdict as Verdict

_HOMES = {
    "Case": "bncheck.case",
    "Layout": "bncheck.case",
    "Check": "bncheck.examination.one_case",
    "assert_gradients": "bncheck.examination.examine",
    "check": "bncheck.examination.examine",
    "Verdict": "bncheck.tolerance.verdicts",
    "LAYERS": "bncheck.layers",
    "Layer": "bncheck.layers",
    "BncheckError": "bncheck.errors",
    "InvalidDefinition": "bncheck.errors",
    "InvalidInput": "bncheck.errors",
    "derive": "bncheck.oracles.symbolic.derivation",
    "lower": "bncheck.oracles.symbolic.lowering",
    "prove": "bncheck.oracles.symbolic.proof",
}

__all__ = ["LAYERS", "BncheckError", "Case", "Check", "InvalidDefinition", "InvalidInput", "Layer", "Layout", "Verdict"]
__all__ += ["assert_gradients", "check", "derive", "lower", "prove"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bncheck' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
