"""Verify the gradients of batch normalization and its family.

One definition, independent gradients, one verdict, and a tolerance that is computed, not chosen. See the README for a
tour. What is public is listed below, once, and imported when it is first used.
"""

from __future__ import annotations

import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bncheck.version import __version__ as __version__

if TYPE_CHECKING:  # what mypy sees; tests/test_public.py holds it to be the list below
    from bncheck.api import assert_gradients as assert_gradients
    from bncheck.api import check as check
    from bncheck.api import derive as derive
    from bncheck.api import draw as draw
    from bncheck.api import lower as lower
    from bncheck.api import prove as prove
    from bncheck.api import tolerance as tolerance
    from bncheck.api import verify as verify
    from bncheck.case import Case as Case
    from bncheck.case import Layout as Layout
    from bncheck.conformance import Conformance as Conformance
    from bncheck.errors import BncheckError as BncheckError
    from bncheck.errors import InvalidDefinition as InvalidDefinition
    from bncheck.errors import InvalidInput as InvalidInput
    from bncheck.errors import MissingPackage as MissingPackage
    from bncheck.errors import TargetFailed as TargetFailed
    from bncheck.inputs.recipes import Recipe as Recipe
    from bncheck.inputs.strategies import cases as cases
    from bncheck.inputs.strategies import recipes as recipes
    from bncheck.layers import LAYERS as LAYERS
    from bncheck.layers import Layer as Layer
    from bncheck.oracles.symbolic.derivation import Derivation as Derivation
    from bncheck.oracles.symbolic.lowering import Lowered as Lowered
    from bncheck.oracles.symbolic.proof import Proof as Proof
    from bncheck.results import Check as Check
    from bncheck.results import Examination as Examination
    from bncheck.results import Finding as Finding
    from bncheck.results import Report as Report
    from bncheck.results import TargetReport as TargetReport
    from bncheck.tolerances.verdicts import Comparison as Comparison
    from bncheck.tolerances.verdicts import Verdict as Verdict

PUBLIC = MappingProxyType(
    {
        "api": ("assert_gradients", "check", "derive", "draw", "lower", "prove", "tolerance", "verify"),
        "case": ("Case", "Layout"),
        "conformance": ("Conformance",),
        "errors": ("BncheckError", "InvalidDefinition", "InvalidInput", "MissingPackage", "TargetFailed"),
        "inputs.recipes": ("Recipe",),
        "inputs.strategies": ("cases", "recipes"),
        "layers": ("LAYERS", "Layer"),
        "oracles.symbolic.derivation": ("Derivation",),
        "oracles.symbolic.lowering": ("Lowered",),
        "oracles.symbolic.proof": ("Proof",),
        "results": ("Check", "Examination", "Finding", "Report", "TargetReport"),
        "tolerances.verdicts": ("Comparison", "Verdict"),
    }
)
"""Everything public, by the module that holds it."""

__all__ = sorted(name for names in PUBLIC.values() for name in names)  # a list like any other


def __getattr__(name: str) -> Any:
    for home, names in PUBLIC.items():
        if name in names:
            return getattr(importlib.import_module(f"bncheck.{home}"), name)
    raise AttributeError(f"module 'bncheck' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
