"""The formulas read as a lecturer writes them, and what they say, read back, is the gradient."""

import itertools
import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import some

import bncheck
from bncheck.bugs.catalogue.bug import correct
from bncheck.case import Case, Layout
from bncheck.layers import LAYERS, Layer
from bncheck.oracles.symbolic.derivation import Derivation, derive
from bncheck.oracles.symbolic.proof import Proof, ProofStep, prove
from bncheck.outcomes import Outcome
from bncheck.report.formulas import FORMS, STYLES, formulas

LAYER = LAYERS["batch_norm"]
CHANNELS = Layout("NC", "N", "C")
IMAGES = Layout("NCHW", "NHW", "C")
TOKENS = Layout("NLC", "LC", "C")  # each of the roles n, i and k: statistics and parameters share an axis


@lru_cache
def derived(layer: Layer, layout: Layout) -> tuple[Derivation, Proof]:
    derivation = derive(layer, layout)
    return derivation, prove(derivation)


def printed(form: str, style: str, layout: Layout = CHANNELS, layer: Layer = LAYER) -> str:
    return formulas(*derived(layer, layout), form, style, layout)


def equations(form: str, layout: Layout = CHANNELS, layer: Layer = LAYER) -> dict[str, str]:
    """Left side → right side, broken lines joined."""
    joined = re.sub(r"\n {8,}", " ", printed(form, "unicode", layout, layer))
    return dict(line.strip().split(" = ", 1) for line in joined.splitlines() if line.startswith("    "))


class Reader:
    """Evaluates a printed right side on numbers, by the rules by which people read it.

    Products and quotients from the left; a sum takes in the rest of its product.
    """

    TOKEN = re.compile(
        r"\s*(?:(?P<value>(?:∂ℓ/∂)?[^\W\d_∂ℓΣ][²\u0302]*\[[^]]*\])|(?P<sum>Σ[ᵢⱼₖₗₙₚ]′?)|(?P<number>\d+)|(?P<size>[A-Zmε])"
        r"|(?P<power>[²³]|\^\(\d+/\d+\))|(?P<sign>[-+−·/()√]))"
    )

    def __init__(self, text: str, arrays: Mapping[str, Any], sizes: Mapping[str, int], eps: float) -> None:
        self.arrays, self.sizes, self.eps = arrays, sizes, eps
        self.tokens: list[tuple[str, str]] = []
        position = 0
        while position < len(text):
            match = self.TOKEN.match(text, position)
            assert match, text[position:]
            self.tokens.append((str(match.lastgroup), str(match[str(match.lastgroup)])))
            position = match.end()

    def at(self, indices: Mapping[str, int]) -> float:
        value, rest = self.expression(0, indices)
        assert rest == len(self.tokens), self.tokens[rest:]
        return value

    def sees(self, position: int, signs: str) -> bool:
        return position < len(self.tokens) and self.tokens[position] in [("sign", sign) for sign in signs]

    def expression(self, at: int, indices: Mapping[str, int]) -> tuple[float, int]:
        negative = self.sees(at, "−")
        total, at = self.product(at + negative, indices)
        total = -total if negative else total
        while self.sees(at, "+−"):
            minus = self.sees(at, "−")
            term, at = self.product(at + 1, indices)
            total += -term if minus else term
        return total, at

    def product(self, at: int, indices: Mapping[str, int]) -> tuple[float, int]:
        total, at = self.factor(at, indices)
        while self.sees(at, "·/"):
            divided = self.sees(at, "/")
            factor, at = self.factor(at + 1, indices)
            total = total / factor if divided else total * factor
        return total, at

    def factor(self, at: int, indices: Mapping[str, int]) -> tuple[float, int]:
        kind, text = self.tokens[at]
        if kind == "sum":
            letter = text[1:].translate(str.maketrans("ᵢⱼₖₗₙₚ", "ijklnp"))
            size = self.sizes[{"i": "m", "j": "m", "k": "K", "l": "K", "n": "N", "p": "N"}[letter[0]]]
            terms = [self.product(at + 1, {**indices, letter: k}) for k in range(size)]
            return sum(value for value, _ in terms), terms[0][1]
        if self.sees(at, "("):
            value, at = self.expression(at + 1, indices)
        elif self.sees(at, "√"):
            value, at = self.factor(at + 1, indices)
            return value**0.5, at
        elif kind == "number":
            value = float(text)
        elif kind == "size":
            value = self.eps if text == "ε" else self.sizes[text]
        else:
            name, subscript = text.removesuffix("]").split("[")
            value = self.arrays[name][tuple(indices[index] for index in subscript.split(","))]
        at += 1
        if at < len(self.tokens) and self.tokens[at][0] == "power":
            power = self.tokens[at][1]
            numerator, _, denominator = power.strip("^()").partition("/")
            value = value ** ({"²": 2, "³": 3}.get(power) or int(numerator) / int(denominator))
            at += 1
        return value, at


def evaluated(form: str, layer: Layer, layout: Layout, shape: tuple[int, ...]) -> Iterator[tuple[str, Any, Any]]:
    """Each gradient's name, what the printed formulas say it is, and what the code says."""
    rng = np.random.default_rng(0)
    parameters = {name: rng.normal(size=layout.parameter_shape(shape)) for name in layer.parameters}
    case = Case(layout, rng.normal(size=shape), rng.normal(size=shape), parameters, eps=0.5)
    roles = derive(layer, layout).roles
    assert "".join(roles.values()) == layout.axes, "one axis for each index, in the layout's order"
    sizes = {"nick"["NmCK".index(s)]: s for s in "NmCK"}
    length = {letter: shape[k] for k, letter in enumerate(roles)}
    arrays: dict[str, Any] = {"x": case.x, "∂ℓ/∂y": case.dy, "γ": parameters["gamma"], "β": parameters.get("beta")}
    for left, right in equations(form, layout, layer).items():
        name, indices = left.removesuffix("]").split("[")
        letters = indices.split(",")
        reader = Reader(right, arrays, {sizes[letter]: n for letter, n in length.items()}, case.eps)
        where = itertools.product(*(range(length[letter]) for letter in letters))
        values = [reader.at(dict(zip(letters, position, strict=True))) for position in where]
        arrays[name] = np.reshape(values, [length[letter] for letter in letters])
    for name, value in correct(case, layer).items():
        if name != "y":
            yield name, arrays["∂ℓ/∂" + {"dx": "x", "dgamma": "γ", "dbeta": "β"}[name]], value


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("name", "layout", "shape"),
    [
        ("batch_norm", CHANNELS, (3, 2)),
        ("batch_norm", TOKENS, (2, 3, 2)),
        ("layer_norm", Layout("ND", "D", "D"), (2, 3)),
        ("instance_norm", Layout("NLC", "L", "C"), (2, 3, 2)),
        ("group_norm", Layout("NGK", "K", "GK"), (2, 2, 3)),
        ("rms_norm", Layout("ND", "D", "D"), (2, 3)),
    ],
    ids=str,
)
def test_printed_formulas_read_back_are_the_gradients(
    form: str, name: str, layout: Layout, shape: tuple[int, ...]
) -> None:
    for gradient, said, true in evaluated(form, LAYERS[name], layout, shape):
        np.testing.assert_allclose(said, true, rtol=1e-12, atol=1e-14, err_msg=gradient)


def test_reader_notices_a_wrong_sign() -> None:
    arrays = {"x": np.array([1.0, 2.0]), "∂ℓ/∂y": np.array([3.0, 4.0])}
    right = Reader("∂ℓ/∂y[i] · x[i]/(2·m) − 1/m · Σⱼ x[j] · (∂ℓ/∂y[j] − x[i])²", arrays, {"m": 2}, 0.1)
    assert right.at({"i": 0}) == 3 * 1 / 4 - (1 * (3 - 1) ** 2 + 2 * (4 - 1) ** 2) / 2
    assert Reader("−(ε + 1)^(3/2)", arrays, {}, 15.0).at({}) == -64


def columns(line: str) -> int:
    return sum(not unicodedata.combining(character) for character in line)


@pytest.mark.parametrize("layout", [CHANNELS, IMAGES, TOKENS], ids=str)
@pytest.mark.parametrize("form", FORMS)
def test_unicode_fits_a_terminal_and_hides_the_machinery(form: str, layout: Layout) -> None:
    text = printed(form, "unicode", layout)
    assert max(map(columns, text.splitlines())) <= 80
    said = " ".join(f"{left} = {right}" for left, right in equations(form, layout).items())
    assert not re.search(r"dx|dy|dvar|hat|mean|gamma|Kronecker|Sum|sqrt|\*|\^\d|\xa0", said)
    assert not any(line.endswith(" ") for line in text.splitlines())


def test_chain_rule_is_the_papers_line_by_line() -> None:
    found = equations("chain-rule")
    assert list(found) == [
        *(
            "μ[c]",
            "σ²[c]",
            "x̂[i,c]",
            "y[i,c]",
            "∂ℓ/∂x̂[i,c]",
            "∂ℓ/∂σ²[c]",
            "∂ℓ/∂μ[c]",
            "∂ℓ/∂x[i,c]",
            "∂ℓ/∂γ[c]",
            "∂ℓ/∂β[c]",
        )
    ]
    assert found["∂ℓ/∂σ²[c]"] == "−1/(2·(σ²[c] + ε)^(3/2)) · Σᵢ ∂ℓ/∂x̂[i,c] · (x[i,c] − μ[c])"
    assert found["∂ℓ/∂x[i,c]"] == ("∂ℓ/∂x̂[i,c] · 1/√(σ²[c] + ε) + ∂ℓ/∂σ²[c] · 2·(x[i,c] − μ[c])/m + ∂ℓ/∂μ[c] · 1/m")


def test_closed_form_reads_direct_then_variance_then_mean() -> None:
    found = equations("closed")
    assert found["s[c]"] == "√(σ²[c] + ε)"
    assert found["∂ℓ/∂x[i,c]"] == ("γ[c]/s[c] · (∂ℓ/∂y[i,c] − x̂[i,c]/m · Σⱼ ∂ℓ/∂y[j,c] · x̂[j,c] − 1/m · Σⱼ ∂ℓ/∂y[j,c])")


def test_direct_form_names_the_statistics() -> None:
    terms = re.split(r" [+−] (?=γ|∂)", equations("direct")["∂ℓ/∂x[i,c]"])
    assert len(terms) == 4
    assert not any("Σⱼ x" in term for term in terms), "means stand under their names"


def test_indices_say_which_axes_they_run_over() -> None:
    assert "i, j = 1…m over N·H·W\n  c = 1…C over C\n" in printed("closed", "unicode", IMAGES)


def centring(x: Any, scale: Any = 1, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> dict[str, Any]:
    centred = x - mean(x)
    return {"centred": centred, "y": scale * centred / sqrt(mean(centred * centred) + eps)}


def test_names_of_ones_own_are_printed_as_gradients() -> None:
    found = equations("chain-rule", layer=Layer(centring, (CHANNELS,)))
    assert found["y[i,c]"] == "scale[c]·centred[i,c]/√(1/m · Σⱼ centred[j,c]² + ε)"
    assert found["∂ℓ/∂x[i,c]"] == "∂ℓ/∂centred[i,c] − 1/m · Σⱼ ∂ℓ/∂centred[j,c]"


LAID_OUT = [*((name, layer.layouts[0]) for name, layer in LAYERS.items()), *((LAYER.name, x) for x in (IMAGES, TOKENS))]
"""Each layer and mode; and batch norm where every role of an axis occurs."""


@pytest.mark.parametrize(("layer", "layout", "form"), some(LAID_OUT, FORMS), ids=str)
def test_latex_is_understood_row_by_row(layer: str, layout: Layout, form: str) -> None:
    mathtext = pytest.importorskip("matplotlib.mathtext")
    parser = mathtext.MathTextParser("path")
    lines = printed(form, "latex", layout, LAYERS[layer]).splitlines()
    assert lines[0].startswith(f"% {layer}, ")
    assert (lines[1], lines[-1]) == (r"\begin{align*}", r"\end{align*}")
    assert not lines[-2].endswith("\\"), "an empty row would follow"
    for row in lines[2:-1]:
        assert row == lines[-2] or row.endswith((r" \\", r" \\*"))
        for side in row.removesuffix("*").removesuffix(r"\\").split("&"):
            parser.parse(f"${re.sub(r'.bigg[lr]', '', side).strip() or '{}'}$")


CHILDREN = {"mfrac": 2, "msub": 2, "msup": 2, "msubsup": 3, "munderover": 3, "mover": 2, "mtr": 3}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("layer", "layout"), LAID_OUT, ids=str)
def test_mathml_is_well_formed(form: str, layer: str, layout: Layout) -> None:
    root = ElementTree.fromstring(printed(form, "mathml", layout, LAYERS[layer]))
    rows = [e for e in root.iter() if e.tag.endswith("}mtr")]
    assert sum(len(row[1]) for row in rows) == len(equations(form, layout, LAYERS[layer]))
    for element in root.iter():
        tag = element.tag.removeprefix("{http://www.w3.org/1998/Math/MathML}")
        assert "{" not in tag
        assert len(element) == CHILDREN.get(tag, len(element)), tag
        if tag in ("mi", "mn", "mo"):
            assert element.text
            assert len(element) == 0
    signs = [e.text for e in root.iter() if e.tag.endswith("}mo")]
    assert signs.count("(") == signs.count(")")


@pytest.mark.parametrize(("layer", "layout"), LAID_OUT, ids=str)
def test_numpy_is_the_source_that_runs(layer: str, layout: Layout) -> None:
    text = printed("closed", "numpy", layout, LAYERS[layer])
    compile(text, "printed", "exec")
    assert text.partition("import numpy as np\n\n\n")[2] == bncheck.lower(LAYERS[layer], layout).source.rstrip()


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_tells_the_outcome_of_the_proof(form: str, style: str) -> None:
    assert "proved for every m, C: 15 equalities, each difference identically 0" in printed(form, style)
    failed = Proof("batch_norm", (ProofStep("dvar", "chain rule = derivative", Outcome.REFUTED),))
    text = formulas(derive(LAYER, CHANNELS), failed, form, style, CHANNELS)
    assert "not proved: chain rule = derivative fails for dvar" in text
