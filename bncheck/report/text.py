"""Reports for people, in 80 columns."""

from __future__ import annotations

import io
import math
import platform
import re
import shlex
import textwrap
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from rich.console import Console
from rich.text import Text

from bncheck.bugs.catalogue import BUGS
from bncheck.case import Array, Layout
from bncheck.extras import PURPOSES, required, version
from bncheck.oracles.symbolic.derivation import SIZES
from bncheck.outcomes import Outcome
from bncheck.results import Counterexample, LayerReport, Report, Result, Tally
from bncheck.tolerances.verdicts import Verdict
from bncheck.version import __version__

WIDTH = 80

COLOURS = {
    Verdict.CORRECT: "green",
    Verdict.WRONG: "bold red",
    Verdict.UNSTABLE: "bold yellow",
    Verdict.CRASHED: "bold red",
    Verdict.INCOMPLETE: "bold cyan",
    Verdict.INCONCLUSIVE: "cyan",
    Verdict.UNFINISHED: "cyan",
    Verdict.VACUOUS: "cyan",
}

_WORDS = {
    "vacuous": "no bug could show: a group of one value, or a gradient of 0",
    "inconclusive": "the tolerance is as large as the gradient itself",
    "unstable": "outside the tolerance, but closer the higher the precision",
    "of tolerance": "the largest error over the computed rounding bound; 1 is the limit",
}


def verification(report: Report, *, colour: bool = False) -> str:
    """The report of a campaign: a layer in detail, several in a table; where something fails, in one screen."""
    lines: list[Text] = []
    failing = next((layer for layer in report.layers if _fails(report, layer)), None)
    if failing is not None:
        others = [layer for layer in report.layers if layer is not failing]
        lines += [*_overview(others), Text()] if others else []
        lines += [*_layer(failing), Text()]
    elif len(report.layers) > _DETAILED:
        lines += [*_overview(report.layers), Text(), *_suspects(report.layers), *_theorems(report.layers), Text()]
    else:
        for layer in report.layers:
            lines += [*_layer(layer), *([Text(), *_theorems([layer])] if layer.theorems else []), Text()]
    if report.counterexample is not None:
        lines += [*_counterexample(report.counterexample), Text()]
    lines += [Text(f"{word:<12}  {_WORDS[word]}", "dim") for word in _used(report)]
    lines += [Text(), Text.assemble("verdict: ", (report.verdict.value, COLOURS[report.verdict]))]
    return printed(lines, colour=colour)


def printed(lines: Iterable[Text], *, colour: bool) -> str:
    """Lines as a terminal shows them, or without any escapes."""
    stream = io.StringIO()
    console = Console(
        file=stream,
        force_terminal=colour,
        force_jupyter=False,  # in a notebook it would show each line at once, and hand back nothing
        color_system="standard" if colour else None,
        no_color=not colour,
    )
    for line in lines:
        console.print(line, soft_wrap=True)
    return stream.getvalue()


_DETAILED = 2
"""How many layers are shown in detail; more are shown in a table."""


def _used(report: Report) -> list[str]:
    """The words in a report that want an explanation."""
    results = [layer.result for layer in report.layers]
    tallies = [tally for result in results for tally in result.tallies.values()]
    used = {tally.verdict.value for tally in tallies} | {"of tolerance"}
    used |= {word for word in ("vacuous", "inconclusive") if any(getattr(result, word) for result in results)}
    return [word for word in _WORDS if word in used]


def columns(text: str) -> int:
    """How many columns a text takes up: a combining accent takes none."""
    return sum(not unicodedata.combining(character) for character in text)


def _fails(report: Report, layer: LayerReport) -> bool:
    """Whether a layer is the one to look at: that of the counterexample, or one whose proof fails."""
    found = report.counterexample
    if found is None:
        return bool(layer.refuted) or not layer.proof.proved
    return any((f.case, f.subject, f.layer) == (found.case, found.subject, found.layer) for f in layer.result.failures)


_PROVED = {Outcome.PROVED: "yes", Outcome.REFUTED: "no", Outcome.UNDECIDED: "open"}
"""What became of a proof, in a column."""


def _overview(layers: Sequence[LayerReport]) -> Iterator[Text]:
    """A line for each layer: its proof, its cases, what they would have caught, and the worst of its oracles."""
    width = max(len(layer.layer) for layer in layers)
    room = max(len("verdict"), *(len(layer.verdict) for layer in layers))
    yield Text(f"{'layer':<{width}}  {'verdict':<{room}}  proved  conclusive  planted bugs  of tolerance", "dim")
    for layer in layers:
        result, verdict = layer.result, layer.verdict
        conclusive = f"{result.conclusive} of {result.cases}"
        caught = f"{sum(map(bool, result.revealed.values()))} of {len(result.revealed)}" if result.revealed else "-"
        worst = max((tally.worst_radius_fraction for tally in result.tallies.values()), default=0.0)
        yield Text.assemble(
            f"{layer.layer:<{width}}  ",
            (f"{verdict.value:<{room}}", COLOURS[verdict]),
            f"  {_PROVED[layer.proof.outcome]:<6}  {conclusive:>10}  {caught:>12}  {worst:>12.3g}",
        )


def _suspects(layers: Sequence[LayerReport]) -> Iterator[Text]:
    """A line for each suspect, layer by layer, and what is known to be amiss with them."""
    compared = {layer.layer: _compared(layer) for layer in layers if _compared(layer)}
    if not compared:
        return
    verdict = max(len("verdict"), *(len(tally.verdict) for found in compared.values() for tally in found.values()))
    width = min(
        WIDTH - verdict - 38, max(len("suspect"), *(len(name) for found in compared.values() for name in found))
    )
    yield Text(f"  {'suspect':<{width}}  {'verdict':<{verdict}}  cases  worst error  of tolerance", "dim")
    for layer, tallies in compared.items():
        yield Text(layer)
        for name, tally in tallies.items():
            yield _row(name, width, tally, verdict)
    yield Text()
    for words, found in _known(layers).items():
        yield from _entry("known", words)
        yield from _entry("", ", ".join(f"{name} on {count}" for name, count in found.items()))
        yield Text()


def _compared(layer: LayerReport) -> dict[str, Tally]:
    return {name: layer.result.tallies[name] for name in layer.suspects if name in layer.result.tallies}


def _known(layers: Sequence[LayerReport]) -> dict[str, Counter[str]]:
    """For each thing that is known to be amiss, the suspects that failed so, and on how many cases."""
    found: dict[str, Counter[str]] = {}
    for layer in layers:
        for (name, words), count in layer.result.known.items():
            found.setdefault(words, Counter())[name] += count
    return found


_UNPROVED = {Outcome.REFUTED: "does not hold", Outcome.UNDECIDED: "not decided"}
"""What became of a theorem that no layer has a proof of."""


def _theorems(layers: Sequence[LayerReport]) -> Iterator[Text]:
    """A line for each theorem: on how many cases the numbers bear it out, and how closely."""
    stated = {theorem.name: theorem for layer in reversed(layers) for theorem in layer.theorems}
    stated = {theorem.name: stated[theorem.name] for layer in layers for theorem in layer.theorems}
    width = max((len(name) for name in stated), default=0)
    room = WIDTH - width - 24
    yield Text(f"{'theorem':<{width}}  {'proved':<{room}}  cases  of tolerance", "dim")
    for name, theorem in stated.items():
        proved = [layer for layer in layers if any(t.name == name and t.proved for t in layer.theorems)]
        tally = Tally()
        for layer in proved:
            tally = tally.and_also(layer.result.theorems.get(name, Tally()))
        refuted = any(name in layer.refuted for layer in layers)
        words = theorem.statement if proved else f"{_UNPROVED[theorem.outcome]}: {theorem.statement}"
        words = words if len(words) <= room else f"{words[: room - 1]}…"
        words += " " * (room - columns(words))
        told = f"{tally.cases:>5}  {tally.worst_radius_fraction:>12.3g}" if proved else f"{'-':>5}  {'-':>12}"
        yield Text(f"{name:<{width}}  {words}  {told}", "bold red" if refuted else "")


def _layer(report: LayerReport) -> Iterator[Text]:
    """A layer's proof, its cases, what they would have caught, and a line for each oracle and suspect."""
    proof, result = report.proof, report.result
    yield Text(report.layer, "bold")
    if proof.failure is None:
        sizes = ", ".join(str(SIZES[letter]) for letter in report.sizes)
        yield from _entry("proof", f"for every {sizes}: chain rule = derivative = closed form")
    else:
        refuted = proof.outcome is Outcome.REFUTED
        yield from _entry(
            "not proved" if refuted else proof.outcome, proof.failure.words, "bold red" if refuted else "cyan"
        )
    for name in report.refuted:
        yield from _entry("refuted", f"the theorem {name} fails on numbers", "bold red")
    counts = f"{result.conclusive} conclusive, {result.vacuous} vacuous, {result.inconclusive} inconclusive"
    yield from _entry("cases", f"{result.cases}: {counts}")
    if result.revealed:
        yield from _entry("planted bugs", _planted(result))
    if report.asymmetric:
        hidden = [name for name, broken in report.asymmetric.items() if not broken]
        told = f"asymmetric in {len(report.asymmetric) - len(hidden)} of {len(report.asymmetric)} bugs of dx"
        yield from _entry("hessian", f"{told}; not in {', '.join(hidden)}")
    for (name, words), count in result.known.items():
        yield from _entry("known", f"{name}, on {count} of the cases: {words}")
    if report.forward_only:
        named = ", ".join(report.forward_only)
        yield from _entry("forward only", f"{named}: has no gradient, what it returns is checked")
    yield Text()
    verdict = max(len(word) for word in ("verdict", *(tally.verdict for tally in result.tallies.values())))
    width = min(WIDTH - verdict - 38, max(len(name) for name in ("oracle or suspect", *result.tallies)))
    yield Text(f"  {'oracle or suspect':<{width}}  {'verdict':<{verdict}}  cases  worst error  of tolerance", "dim")
    for name, tally in result.tallies.items():
        yield _row(name, width, tally, verdict)


def _entry(heading: str, text: str, style: str = "") -> Iterator[Text]:
    """A heading and a text beside it, which wraps under itself."""
    first, *others = textwrap.wrap(text, WIDTH - 16, break_on_hyphens=False) or [""]
    yield Text.assemble("  ", (f"{heading:<12}", style), "  ", first)
    yield from (Text(" " * 16 + line) for line in others)


def _planted(result: Result) -> str:
    missed = [name for name, count in result.revealed.items() if not count]
    told = f"{len(result.revealed) - len(missed)} of {len(result.revealed)} caught"
    if len(missed) == 1:
        return f"{told}; missed: {missed[0]}, {BUGS[missed[0]].words}"
    if missed:
        return f"{told}; missed: {', '.join(missed)}"
    rarest = min(result.revealed, key=result.revealed.__getitem__)
    return told if result.cases == 1 else f"{told}, the rarest ({rarest}) {result.revealed[rarest]} times"


def _row(name: str, width: int, tally: Tally, verdict: int, margin: str = "  ") -> Text:
    shown = name if len(name) <= width else "…" + name[1 - width :]
    error, fraction = f"{tally.worst_relative_error:.1e}", f"{tally.worst_radius_fraction:.3g}"
    if name == "ball":
        fraction = "truth"
    if tally.verdict is Verdict.CRASHED:
        error = fraction = "-"
    told = (f"{tally.verdict.value:<{verdict}}", COLOURS[tally.verdict])
    return Text.assemble(f"{margin}{shown:<{width}}  ", told, f"  {tally.cases:>5}  {error:>11}  {fraction:>12}")


def _counterexample(found: Counterexample) -> Iterator[Text]:
    """The smallest failing case: what was got, what was expected, and how to see it again."""
    comparison = found.comparison
    verdict = (comparison.verdict.value, COLOURS[comparison.verdict])
    if found.detail:
        yield Text.assemble(f"{found.subject} ", verdict, " on the smallest case found")
        yield from _entry("raised", textwrap.shorten(plain(found.detail), 200))
    else:
        yield Text.assemble(f"{found.subject}: {found.gradient} is ", verdict, " on the smallest case found")
        yield from _difference(found)
    for name, array in found.arrays.items():
        yield from _entry(name, _written(np.asarray(array)))
    if found.case.count(":") == 2:
        yield from _entry("layout", read(Layout.parse(found.case.partition("/")[0])))
    command = f"  {'reproduce':<12}  {reproduce(found)}"
    yield Text(command if len(command) <= WIDTH else command.replace(" --case", " \\\n" + " " * 18 + "--case"))


def _difference(found: Counterexample) -> Iterator[Text]:
    """What was got and what was expected: two shapes, or the element that is farthest off."""
    comparison = found.comparison
    if comparison.shapes:
        yield from _entry("shape", misshapen(comparison.shapes))
        return
    yield from _entry("element", f"{found.gradient}[{', '.join(map(str, comparison.index))}]")
    yield from _entry("got", repr(comparison.got))
    yield from _entry("expected", f"{comparison.expected!r}, from Arb balls of 200 bits")
    relative = f"{comparison.relative_error:.2g} times the largest {found.gradient}, {comparison.ulp:.3g} ulp"
    if math.isfinite(comparison.error):
        yield from _entry("error", f"{comparison.error:.3g}, which is {relative}")
    rounding = f"the most that rounding in {_dtype(found)} can do here"
    yield from _entry("tolerance", f"{comparison.tolerance:.3g}, {rounding}")


def misshapen(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> str:
    """Two shapes in words.

    >>> misshapen(((3,), (1, 3)))
    '(3,), expected (1, 3)'
    """
    return f"{shapes[0]}, expected {shapes[1]}"


def read(layout: Layout) -> str:
    """What the three parts of a layout's name say.

    >>> read(Layout("NCHW", "NHW", "C"))
    'NCHW:NHW:C means axes N,C,H,W; one mean covers N,H,W; γ has one value per C'
    """
    values = f"has one value per {','.join(layout.affine)}" if layout.affine else "is one number"
    return f"{layout} means axes {','.join(layout.axes)}; one mean covers {','.join(layout.reduced)}; γ {values}"


def plain(text: str) -> str:
    """The text without control characters, which a terminal might obey."""
    return "".join(c if c.isprintable() else " " for c in text)


def _written(array: Array) -> str:
    """Every digit of a small array; of a large one its shape and range."""
    if array.size > 16:
        return f"{array.dtype} {array.shape}, {array.min():.3g} to {array.max():.3g}; whole with --format json"
    text = np.array2string(array, separator=", ", floatmode="unique", max_line_width=10**6)
    return re.sub(r"(?<=\[) | (?=[],])", "", " ".join(text.split()))


def _dtype(found: Counterexample) -> str:
    return str(np.asarray(found.arrays["x"]).dtype)


def reproduce(found: Counterexample) -> str:
    """The command that shows a counterexample again."""
    layer = shlex.quote(found.layer)
    chosen = f"{layer} --against {found.framework}" if found.framework else layer
    if found.case.count("/") == 7:
        return f"python -m bncheck verify --layer {chosen} --case {found.case}"
    return f"python -m bncheck verify --layer {chosen} --seed {found.seed}"


def doctor(others: Mapping[str, str]) -> str:
    """Versions, and what is installed, by extra; for what is missing, the command. `others` are told as they are."""
    found = {"bncheck": __version__, "Python": f"{platform.python_version()} on {platform.platform(terse=True)}"}
    for extra, packages in {name: required().get(name, ()) for name in ("", *PURPOSES)}.items():
        for package in packages:
            missing = f"not installed; pip install 'bncheck[{extra}]' for {PURPOSES.get(extra, 'everything')}"
            found.setdefault(package, version(package) or missing)
    found.update(others)
    width = max(map(len, found))
    return "\n".join(f"{name:<{width}}  {told}" for name, told in found.items())
