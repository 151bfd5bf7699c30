"""From names of figures to files, in several processes; each file appears whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bncheck.case import Case
from bncheck.errors import InvalidInput
from bncheck.figures import Plate, find, names
from bncheck.figures.studio.look import DPI, Look
from bncheck.files import opened, write
from bncheck.layers import LAYERS, Layer
from bncheck.processes import mapped

if TYPE_CHECKING:
    from bncheck.figures.studio.page import Page

FORMATS = ("svg", "pdf", "png", "tikz", "gv", "gif", "html")
"""svg, png and tikz are a file for each frame, pdf is one for all; tikz and gv, DOT, are of graphs, gif and html of
sequences."""

OUT = Path("bncheck-figures")
"""Where figures go unless another folder is named."""

LEAST, MOST = 50, 600
"""Between these are the pixels per inch that one may ask for."""


@dataclass(frozen=True)
class Edition:
    """What files are made of a drawing: the formats, pixels per inch of png and gif, and whether svg keeps its words.

    Raises
        InvalidInput: an unknown format, too few pixels or too many, or a choice that none of the formats has.
    """

    formats: tuple[str, ...] = ("svg",)
    dpi: int = DPI
    svg_text: bool = False

    def __post_init__(self) -> None:
        for form in self.formats:
            if form not in FORMATS:
                raise InvalidInput.unknown("format", form, FORMATS)
        if not LEAST <= self.dpi <= MOST:
            constraint = f"a whole number from {LEAST} to {MOST}"
            raise InvalidInput("dpi", self.dpi, constraint, f"Leave it out for {DPI}.")
        for name, value, default, able in (
            ("dpi", self.dpi, DPI, ("png", "gif")),
            ("svg_text", self.svg_text, False, ("svg", "html")),
        ):
            if value != default and not {*able} & {*self.formats}:
                constraint = f"no {name} for {', '.join(self.formats)}"
                raise InvalidInput(name, value, constraint, f"Add {' or '.join(able)} to the formats, or leave it out.")

    def name(self, stem: str, form: str) -> str:
        """A file's name, which tells what is not as usual.

        >>> Edition(("svg", "png"), dpi=300).name("jacobian", "png")
        'jacobian-300dpi.png'
        """
        fine = f"-{self.dpi}dpi" if self.dpi != DPI and form in ("png", "gif") else ""
        return f"{stem}{fine}{'-text' if self.svg_text and form in ('svg', 'html') else ''}.{form}"


@dataclass(frozen=True)
class Sheet:
    """A drawing to be made: a figure, or some frames of one, for the layer and the case it is asked for."""

    figure: str
    look: Look = Look()
    seed: int = 0
    layer: Layer | None = None
    frames: tuple[int, ...] = ()
    against: tuple[str, ...] = ()
    results: Path | None = None
    case: Case | None = None

    @property
    def stem(self) -> str:
        """The files' name without its ending; what is not as usual is told, so that no two drawings have one name.

        >>> Sheet("graph-values", Look("half", "dark", "zh"), seed=3).stem
        'graph-values-dark-half-zh-seed-3'
        """
        usual = Look()
        chosen = [
            *([Path(self.layer.address).name.replace(".py:", "-").replace("_", "-")] if self.layer else []),
            *([f"own-{_fingerprint(self.case)}"] if self.case else []),
            *self.against,
            *([self.results.stem] if self.results else []),
            *(getattr(self.look, n) for n in ("theme", "preset", "lang") if getattr(self.look, n) != getattr(usual, n)),
            *(["seed", str(self.seed)] if self.seed else []),
        ]
        return "-".join([self.figure, *chosen])

    @property
    def stems(self) -> list[str]:
        """The same for each page.

        >>> Sheet("graph-sweep", frames=(3, 12)).stems
        ['graph-sweep-03', 'graph-sweep-12']
        """
        return [f"{self.stem}-{frame:02d}" for frame in self.frames] or [self.stem]

    def pages(self) -> list[Page]:
        """The drawing, or its frames."""
        chosen = {"layer": self.layer, "case": self.case, "against": self.against, "results": self.results}
        draw = partial(find(self.figure).draw, self.look, self.seed, **{k: v for k, v in chosen.items() if v})
        return [draw(frame=frame) for frame in self.frames] or [draw()]

    def encoded(self, edition: Edition) -> Iterator[tuple[str, bytes]]:
        """The files, by their names, in those of the formats that this figure can take."""
        plate = find(self.figure)
        formats = [form for form in edition.formats if takes(plate, form)]
        pages = self.pages() if set(formats) - {"gv"} else []
        for form in formats:
            if form in ("svg", "png", "tikz"):
                for stem, page in zip(self.stems, pages, strict=True):
                    yield edition.name(stem, form), _one(form, page, edition)
            else:
                yield edition.name(self.stem, form), self._whole(form, pages, edition)

    def _whole(self, form: str, pages: list[Page], edition: Edition) -> bytes:
        """One file for all frames."""
        from bncheck.figures.studio import frames

        if form == "gv":
            dot = find(self.figure).dot
            assert dot is not None
            chosen = {"layer": self.layer, "case": self.case if "case" in signature(dot).parameters else None}
            graph = dot(self.look, **{name: choice for name, choice in chosen.items() if choice})
            return str(graph.source).encode()
        if form == "pdf":
            return frames.pdf(pages)
        if form == "gif":
            return frames.gif(pages, edition.dpi)
        return frames.html(pages, edition.svg_text)


def _one(form: str, page: Page, edition: Edition) -> bytes:
    """One file for one page."""
    if form == "tikz":
        from bncheck.figures.studio.tikz import tikz

        return tikz(page).encode()
    return page.encoded(form, dpi=edition.dpi, svg_text=edition.svg_text)


def _fingerprint(case: Case) -> str:
    """What tells one case from another in a file's name.

    >>> from dataclasses import replace
    >>> case = Case(LAYERS["batch_norm"].layouts[0], x=[[0.0], [2.0]], dy=[[1.0], [0.0]])
    >>> _fingerprint(case) == _fingerprint(replace(case, origin="elsewhere")) != _fingerprint(replace(case, eps=1.0))
    True
    """
    arrays = {"x": case.x, "dy": case.dy, **case.parameters, "eps": np.array(case.eps)}
    said = [f"{name} {array.shape} {array.tobytes().hex()}" for name, array in arrays.items()]
    return sha256("\n".join([str(case.layout), *said]).encode()).hexdigest()[:8]


def takes(plate: Plate, form: str) -> bool:
    """Whether there is a figure in a format."""
    if form == "gv":
        return plate.dot is not None
    if form == "tikz":
        return plate.name.startswith("graph-")
    return form not in ("gif", "html") or plate.frames is not None


def render(
    figures: Iterable[str] = (),
    folder: Path = OUT,
    *,
    formats: Iterable[str] = ("svg",),
    dpi: int = DPI,
    svg_text: bool = False,
    look: Look = Look(),
    seed: int = 0,
    layer: Layer | None = None,
    case: Case | None = None,
    against: Iterable[str] = (),
    results: Path | None = None,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Draws figures, all without names, into a folder, and tells the files.

    Raises
        InvalidInput: an unknown name, format or framework, a format, a layer, a case, frameworks, results or a seed
            that a named figure does not take, too many pixels, a folder that cannot be written or is a gallery's, or no
            font for the language.
        MissingPackage: a framework that is not installed.
    """
    edition = Edition(tuple(dict.fromkeys(formats)), dpi, svg_text)
    work = sheets(figures, edition.formats, look, seed, layer, tuple(against), results, case)
    if look.lang == "zh":
        from bncheck.figures.studio.fonts import chinese_family

        chinese_family()
    if is_gallery(folder):
        constraint = "a folder that is not a gallery's, whose drawings these might replace"
        raise InvalidInput("out", str(folder), constraint, "Choose another, or renew the gallery by --gallery.")
    written: list[Path] = []
    for paths in on_each(partial(_made, folder=folder, edition=edition), work, folder, jobs, progress):
        written += paths
    return written


MADE = "This page is made by `python -m bncheck figures --gallery`."
"""The sentence by which a gallery's page is known."""


def is_gallery(folder: Path) -> bool:
    """Whether a folder holds a gallery."""
    page = folder / "README.md"
    return page.is_file() and MADE in page.read_text(encoding="utf-8", errors="replace")


def on_each(
    work: Callable[[Sheet], Any],
    sheets: Sequence[Sheet],
    folder: Path,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Any]:
    """Opens a folder, and does some work that writes into it on each drawing: the results, in order.

    Raises
        InvalidInput: the folder cannot be written.
    """
    opened("out", folder)
    with mapped(min(jobs, len(sheets))) as in_order:
        for done, result in enumerate(in_order(work, sheets), start=1):
            progress(done, len(sheets))
            yield result


def sheets(
    figures: Iterable[str],
    formats: tuple[str, ...],
    look: Look,
    seed: int,
    layer: Layer | None,
    against: tuple[str, ...] = (),
    results: Path | None = None,
    case: Case | None = None,
) -> list[Sheet]:
    """What is to be drawn; figures named by the user must be able to take what is asked for."""
    if seed < 0:
        raise InvalidInput("seed", seed, "a whole number of at least 0", "Leave it out for the default.")
    asked = tuple(dict.fromkeys(figures))
    plates = [find(name) for name in asked or names()]
    layered = [plate for plate in plates if plate.takes("layer")]
    comparing = [plate for plate in plates if plate.takes("against")]
    trained = [plate for plate in plates if plate.takes("results")]
    able = [plate for plate in plates if any(takes(plate, form) for form in formats)]
    plates = _able(plates, able, asked, "format", ",".join(formats), "svg, pdf or png")
    if layer is not None:
        if not layer.is_plain:
            known = [known.name for known in LAYERS.values() if known.is_plain]
            raise InvalidInput("layer", layer.name, f"one of {', '.join(known)}", "Or FILE.py:NAME.")
        plates = _able(plates, layered, asked, "layer", layer.address, "no layer")
    if case is not None:
        showing = [plate for plate in plates if plate.takes("case")]
        if asked and showing != plates:
            unable = next(plate.name for plate in plates if plate not in showing)
            able_to = ", ".join(name for name in names() if find(name).takes("case"))
            next_step = f"Leave out {unable}, or the numbers of your own."
            raise InvalidInput("figure", unable, f"one that shows a case: {able_to}", next_step)
        plates = showing
    if against:
        from bncheck.figures.accuracy_offset import of_frameworks

        plates = _able(plates, comparing, asked, "against", ",".join(against), "no frameworks")
        of_frameworks(against)
    if results is not None:
        from bncheck.training.laboratory.results import read

        plates = _able(plates, trained, asked, "results", str(results), "no results")
        held = [f"training-{name}" for name in read(results)]
        plates = _able(plates, [p for p in plates if p.name in held], asked, "results", str(results), "other results")
    if seed and asked and trained:
        words = f"no seed for {trained[0].name}, which is drawn from results"
        raise InvalidInput("seed", seed, words, "Make results with bncheck train --seed, and name them by --results.")
    return [
        Sheet(plate.name, look, 0 if plate in trained else seed, layer, _frames(plate, layer), against, results, case)
        for plate in plates
    ]


def _able(
    plates: list[Plate], able: list[Plate], asked: tuple[str, ...], option: str, value: str, expected: str
) -> list[Plate]:
    unable = [plate.name for plate in plates if plate not in able]
    if asked and unable:
        raise InvalidInput(option, value, f"{expected} for {unable[0]}", f"Leave out {unable[0]}, or --{option}.")
    return able


def _frames(plate: Plate, layer: Layer | None) -> tuple[int, ...]:
    if plate.frames is None:
        return ()
    count = plate.frames(layer=layer) if layer else plate.frames()
    return tuple(range(1, count + 1))


def _made(sheet: Sheet, folder: Path, edition: Edition) -> list[Path]:
    return [write(folder / name, content) for name, content in sheet.encoded(edition)]
