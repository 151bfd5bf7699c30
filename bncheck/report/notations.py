"""How the parts of a formula are written: in unicode, in LaTeX, in MathML."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from itertools import accumulate
from types import MappingProxyType
from typing import Any

import sympy as sp

from bncheck.report.writer import Notation, Piece, Shown

_GREEK = (
    "alpha",
    "beta",
    "gamma",
    "delta",
    "zeta",
    "eta",
    "theta",
    "kappa",
    "mu",
    "nu",
    "xi",
    "pi",
    "rho",
    "sigma",
    "tau",
)
"""Names that are written as Greek letters; ε is taken."""

_GLYPHS = MappingProxyType(
    {name: unicodedata.lookup(f"GREEK SMALL LETTER {name}") for name in _GREEK}
    | {"mean": "μ", "var": "σ²", "xhat": "x̂", "std": "s", "mean_square": "ρ", "rms": "r"}
)


class Unicode(Notation):
    """For terminals: one line."""

    def number(self, value: int) -> str:
        return str(value)

    def size(self, name: str) -> str:
        return name

    def value(self, shown: Shown, indices: list[str]) -> str:
        glyph = _GLYPHS.get(shown.name, shown.name) + (f"_{shown.mark}" if shown.mark else "")
        glyph = f"{'δ' if shown.tangent else ''}{glyph}{'′' if shown.after else ''}"
        return f"{glyph}[{','.join(indices)}]" if indices else glyph

    def gradient(self, of: str) -> str:
        return f"∂ℓ/∂{of}"

    def brackets(self, inner: str) -> str:
        return f"({inner})"

    def root(self, inner: str) -> str:
        return f"√{self.brackets(inner)}"

    def power(self, base: str, exponent: sp.Rational) -> str:
        if exponent.is_Integer:
            return base + str(exponent).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{base}^({exponent})"

    def fraction(self, over: list[Piece], under: list[Piece]) -> str:
        if not under:
            return self.times(over, "·") or "1"
        above, below = ("·".join(map(self.beside, parts)) for parts in (over, under))
        return f"{above or '1'}/{below if len(under) == 1 else self.brackets(below)}"

    def sum_over(self, index: str, size: str, body: str) -> str:
        subscript = index.translate(str.maketrans("ijklnp", "ᵢⱼₖₗₙₚ"))
        return f"Σ{subscript if subscript != index else '_' + index} {body}"

    def product(self, gradients: list[str], rest: list[str]) -> str:
        return " · ".join([*gradients, *rest])

    def terms(self, signed: list[tuple[bool, str]]) -> str:
        text = "".join(f" {'−' if negative else '+'} {term}" for negative, term in signed)
        return f"−{text[3:]}" if signed[0][0] else text[3:]


_SYMBOLS = MappingProxyType(
    {
        **{name: (f"\\{name}", "") for name in _GREEK},
        "mean": (r"\mu", ""),
        "var": (r"\sigma", "2"),
        "xhat": (r"\hat{x}", ""),
        "std": ("s", ""),
        "mean_square": (r"\rho", ""),
        "rms": ("r", ""),
    }
)
"""Name → LaTeX symbol and superscript."""


class Latex(Notation):
    """For papers and slides."""

    def number(self, value: int) -> str:
        return str(value)

    def size(self, name: str) -> str:
        return r"\varepsilon" if name == "ε" else name

    def value(self, shown: Shown, indices: list[str]) -> str:
        plain = shown.name if len(shown.name) == 1 else rf"\mathrm{{{shown.name}}}".replace("_", r"\_")
        symbol, exponent = _SYMBOLS.get(shown.name, (plain, ""))
        marks = [rf"\mathrm{{{shown.mark}}},"] if shown.mark else []
        subscript = " ".join([*marks, *indices]).replace("′", "'").rstrip(",")
        exponent = " ".join([*([r"\prime"] if shown.after else []), *([exponent] if exponent else [])])
        symbol = rf"\delta {symbol}" if shown.tangent else symbol
        return symbol + (f"_{{{subscript}}}" if subscript else "") + (f"^{{{exponent}}}" if exponent else "")

    def gradient(self, of: str) -> str:
        return rf"\frac{{\partial \ell}}{{\partial {of}}}"

    def brackets(self, inner: str) -> str:
        return rf"\left({inner}\right)"

    def root(self, inner: str) -> str:
        return rf"\sqrt{{{inner}}}"

    def power(self, base: str, exponent: sp.Rational) -> str:
        return f"{base}^{{{exponent}}}"

    def fraction(self, over: list[Piece], under: list[Piece]) -> str:
        above = self.times(over, " ") or "1"
        return rf"\frac{{{above}}}{{{self.times(under, ' ')}}}" if under else above

    def sum_over(self, index: str, size: str, body: str) -> str:
        return rf"\sum_{{{index.replace('′', chr(39))}=1}}^{{{size}}} {body}"

    def product(self, gradients: list[str], rest: list[str]) -> str:
        return r" \cdot ".join([*gradients, *([" ".join(rest)] if rest else [])])

    def terms(self, signed: list[tuple[bool, str]]) -> str:
        text = "".join(f" {'-' if negative else '+'} {term}" for negative, term in signed)
        return text.removeprefix(" + ").lstrip()


_BIG = MappingProxyType({r"\left": r"\biggl", r"\right": r"\biggr"})


def sized(line: str) -> str:
    r"""A line of LaTeX whose brackets that close or open on another line have a size of their own.

    >>> print(sized(r"\left(a - \left(b + c\right)"))
    \biggl(a - \left(b + c\right)
    """
    alone: list[re.Match[str]] = []
    for side in re.finditer(r"\\(?:left|right)(?=[()])", line):
        if side[0] == r"\right" and alone and alone[-1][0] == r"\left":
            alone.pop()
        else:
            alone.append(side)
    for side in reversed(alone):
        line = line[: side.start()] + _BIG[side[0]] + line[side.end() :]
    return line


def points(line: str) -> float:
    """How wide TeX sets a line of displayed LaTeX at 11 pt: the sum of its parts, rather too much than too little."""
    line = re.sub(r"\\(?:right|biggr)\)", r"\\,)", re.sub(r"\\(?:left|biggl)\(", r"(\\,", line))
    depths = accumulate((character == "{") - (character == "}") for character in line)
    parts = "".join("\n" if at == (" ", 0) else at[0] for at in zip(line, depths, strict=True)).split("\n")
    return sum(map(_points, parts))


@cache
def _points(part: str) -> float:
    """How wide a part of a line is with the spaces around it, by the rules of TeX that Matplotlib follows."""
    parser, font = _mathtext()
    shown = part.replace(r"\frac", r"\,\dfrac").replace(r"\sum", r"\,\sum")
    return float(parser.parse(f"${{}} {shown} {{}}$", dpi=72, prop=font)[0])


@cache
def _mathtext() -> tuple[Any, Any]:
    from matplotlib.font_manager import FontProperties
    from matplotlib.mathtext import MathTextParser

    return MathTextParser("path"), FontProperties(size=10.95, math_fontfamily="cm")  # LaTeX's 11 pt


_TIMES = "<mo>\N{INVISIBLE TIMES}</mo>"


class MathML(Notation):
    """For web pages: presentation markup."""

    def number(self, value: int) -> str:
        return f"<mn>{value}</mn>"

    def size(self, name: str) -> str:
        return f"<mi>{name}</mi>"

    def value(self, shown: Shown, indices: list[str]) -> str:
        glyph = _GLYPHS.get(shown.name, shown.name)
        symbol = f"<mi>{glyph.removesuffix('²')}</mi>"
        if shown.name == "xhat":
            symbol = '<mover accent="true"><mi>x</mi><mo>^</mo></mover>'
        marks = [f"<mtext>{shown.mark}</mtext>"] if shown.mark else []
        subscript = f"<mrow>{''.join([*marks, *map(self.size, indices)])}</mrow>"
        above = ("<mo>′</mo>" if shown.after else "") + ("<mn>2</mn>" if glyph.endswith("²") else "")
        above = f"<mrow>{above}</mrow>" if shown.after else above
        if marks or indices:
            symbol = f"<msubsup>{symbol}{subscript}{above}</msubsup>" if above else f"<msub>{symbol}{subscript}</msub>"
        elif above:
            symbol = f"<msup>{symbol}{above}</msup>"
        return f"<mrow><mi>δ</mi>{symbol}</mrow>" if shown.tangent else symbol

    def gradient(self, of: str) -> str:
        return f"<mfrac><mrow><mi>∂</mi><mi>ℓ</mi></mrow><mrow><mi>∂</mi>{of}</mrow></mfrac>"

    def brackets(self, inner: str) -> str:
        return f"<mrow><mo>(</mo>{inner}<mo>)</mo></mrow>"

    def root(self, inner: str) -> str:
        return f"<msqrt>{inner}</msqrt>"

    def power(self, base: str, exponent: sp.Rational) -> str:
        above = f"<mn>{exponent.p}</mn>" + (f"<mo>/</mo><mn>{exponent.q}</mn>" if exponent.q != 1 else "")
        return f"<msup>{base}<mrow>{above}</mrow></msup>"

    def fraction(self, over: list[Piece], under: list[Piece]) -> str:
        above = self.times(over, _TIMES) or self.number(1)
        below = self.times(under, _TIMES)
        return f"<mfrac><mrow>{above}</mrow><mrow>{below}</mrow></mfrac>" if under else above

    def sum_over(self, index: str, size: str, body: str) -> str:
        below = f"<mrow>{self.size(index)}<mo>=</mo><mn>1</mn></mrow>"
        return f"<mrow><munderover><mo>∑</mo>{below}{size}</munderover>{body}</mrow>"

    def product(self, gradients: list[str], rest: list[str]) -> str:
        return "<mo>·</mo>".join([*gradients, *([_TIMES.join(rest)] if rest else [])])

    def terms(self, signed: list[tuple[bool, str]]) -> str:
        plus, minus = ('<mo form="infix">+</mo>', '<mo form="infix">−</mo>')  # wherever a line is broken
        text = "".join((minus if negative else plus) + term for negative, term in signed)
        text = f"<mo>−</mo>{text.removeprefix(minus)}" if signed[0][0] else text.removeprefix(plus)
        return f"<mrow>{text}</mrow>"


def with_rows(line: str) -> str:
    """A line of MathML with each row closed that it leaves open, and each opened that it closes.

    >>> with_rows("<mi>a</mi></mrow><mo>+</mo>")
    '<mrow><mi>a</mi></mrow><mo>+</mo>'
    """
    depth = lowest = 0
    for tag in re.finditer("<(/?)mrow>", line):
        depth += -1 if tag[1] else 1
        lowest = min(lowest, depth)
    return "<mrow>" * -lowest + line + "</mrow>" * (depth - lowest)
