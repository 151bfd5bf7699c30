"""Edits and programs in words: no edit is the original, and each is said as people write it."""

import re

import numpy as np
import pytest
from test_own_definition import FOURTH

from bncheck.bugs import words
from bncheck.bugs.edits import BACKWARD, of_backward, of_forward, one_place
from bncheck.bugs.programs import Bench, Program, programs
from bncheck.bugs.readings import Trial, match
from bncheck.bugs.words import Wording, glossary
from bncheck.inputs.probes import probes
from bncheck.layers import LAYERS, Layer

BATCH_NORM, RMS = LAYERS["batch_norm"], LAYERS["rms_norm"]


def of(layer: Layer, style: str) -> Program:
    return programs(layer, layer.layouts[0], layer.parameters)[style]


@pytest.mark.parametrize("layer", [BATCH_NORM, RMS, FOURTH], ids=lambda layer: layer.name)
def test_no_edit_in_one_place_is_the_original(layer: Layer) -> None:
    for program in programs(layer, layer.layouts[0], layer.parameters).values():
        known = [*program.axes_of_inputs, *program.forward]
        for expression in program.backward.values():
            edits = list(one_place(expression, known, program))
            assert len(edits) > 20
            assert not [kind for kind, _, _, new in edits if new == expression and expression.parts]


def test_what_divides_by_a_sum_that_vanishes_matches_nothing() -> None:
    """Σ(x − μ) is zero but for rounding: its inverse is huge, or infinite, and near to any answer by some measure."""
    case = probes(BATCH_NORM)[0]
    program = of(BATCH_NORM, "stages")
    bench = Bench(program, case)
    right = program.run(case)
    trial = Trial(BATCH_NORM, case, {**right, "dx": right["dx"] * 1.1})
    huge = []
    for edit in of_backward(program):
        dx = bench.answers(edit.program, ("dx",))["dx"]
        if not np.isfinite(dx).all() or abs(dx).max() > 1e6 * abs(right["dx"]).max():
            huge.append(edit)
            assert match((trial,), program, edit.program, ("dx",))[0] == frozenset()
    assert huge


@pytest.mark.parametrize(
    ("layer", "style", "label", "formula"),
    [
        (BATCH_NORM, "equations", "∂var", "dσ² = −½·Σ dx̂·(x − μ)·(σ² + ε)^(−3/2)"),
        (BATCH_NORM, "equations", "∂gamma", "dγ = Σ dy·x̂"),
        (BATCH_NORM, "equations", "∂xhat", "dx̂ = γ·dy"),
        (BATCH_NORM, "closed in dx̂", "∂x", "dx = (dx̂ − mean dx̂ − x̂·mean(dx̂·x̂))/s"),
        (RMS, "closed in dx̂", "∂x", "dx = (dx̂ − x̂·mean(dx̂·x̂))/s"),
        (FOURTH, "equations", "∂xhat", "dx̂ = γ·dy"),
        (FOURTH, "equations", "∂beta", "dβ = Σ dy"),
    ],
)
def test_steps_are_written_as_people_write_them(layer: Layer, style: str, label: str, formula: str) -> None:
    program = of(layer, style)
    assert Wording(program).equation(label, program.backward[label]) == formula


@pytest.mark.parametrize("layer", [*LAYERS.values(), FOURTH], ids=lambda layer: layer.name)
def test_every_step_of_every_style_has_a_formula(layer: Layer) -> None:
    for program in programs(layer, layer.layouts[0], layer.parameters).values():
        wording = Wording(program)
        for label, expression in (*program.forward.items(), *program.backward.items()):
            text = wording.equation(label, expression)
            assert text.count("(") == text.count(")")
            assert not re.search(r"[{}#?]|Fraction|Name\(", text), text


def test_the_glossary_is_that_of_the_layer() -> None:
    program = of(RMS, "stages")
    text = " ".join(glossary(program, Wording(program).equation("∂x", program.backward["∂x"])))
    assert "ρ" in text
    assert "μ" not in text
    assert "σ" not in text


SORTS = {
    "sign": "the sign of",
    "factor-lost": "is missing",
    "factor-added": "too many",
    "factor-doubled": "occurs twice",
    "term-lost": "is missing",
    "term-doubled": "occurs twice",
    "constant": "stands where",
    "exponent": "the power is another",
    "exchanged": "stands where",
    "swapped": "stand for each other",
    "operator": "an operator at",
    "misplaced": "ends in another place",
    "axes": "where it should be",
    "not-summed": "is not summed",
    "averaged": "a mean stands where a sum should",
    "zero": "is zero",
}


@pytest.mark.parametrize("kind", SORTS)
def test_every_sort_of_edit_is_said_in_words(kind: str) -> None:
    program = of(BATCH_NORM, "stages")
    edits = [edit for edit in (*of_backward(program), *of_forward(program)) if edit.kind == kind]
    assert edits
    for edit in edits:
        said = words.said(kind, edit, program)
        assert SORTS[kind] in said, said
        computed, right = words.told(edit, program)
        assert computed.split(" = ")[0] == right.split(" = ")[0]
        assert not re.search(r"[{}?]", said + computed)
        if edit.side == BACKWARD and not edit.throughout and kind != "zero":
            assert f"in {Wording(program).sign(edit.step)} " in said
