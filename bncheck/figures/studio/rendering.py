"""From names of figures to files, in several processes; each file appears whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bncheck.errors import InvalidInput
from bncheck.figures import Plate, find, names
from bncheck.figures.studio.look import Look
from bncheck.files import try_folder, write
from bncheck.layers import LAYERS, Layer
from bncheck.processes import mapped

if TYPE_CHECKING:
    from bncheck.figures.studio.page import Page

FORMATS = ("svg", "pdf", "png", "gv")
"""gv is DOT, for the figures that are computation graphs."""


@dataclass(frozen=True)
class Sheet:
    """One drawing to be made: a figure, or one frame of it, for the layer it is asked for."""

    figure: str
    look: Look
    seed: int
    layer: Layer | None = None
    frame: int | None = None
    against: tuple[str, ...] = ()
    results: Path | None = None

    @property
    def stem(self) -> str:
        """The files' name without its ending.

        >>> Sheet("graph-sweep", Look(), 0, frame=3).stem
        'graph-sweep-03'
        """
        layer = f"-{self.layer.name.replace('_', '-')}" if self.layer else ""
        return f"{self.figure}{layer}{'' if self.frame is None else f'-{self.frame:02d}'}"

    def page(self) -> Page:
        """The drawing."""
        chosen = {"layer": self.layer, "frame": self.frame, "against": self.against, "results": self.results}
        return find(self.figure).draw(self.look, self.seed, **{k: v for k, v in chosen.items() if v})

    def encoded(self, formats: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """The bytes in each format that this figure can take."""
        drawn = [form for form in formats if form != "gv"]
        if drawn:
            page = self.page()
            yield from ((form, page.encoded(form)) for form in drawn)
        dot = find(self.figure).dot
        if "gv" in formats and dot is not None and self.frame in (None, 1):
            graph = dot(self.look, layer=self.layer) if self.layer else dot(self.look)
            yield "gv", graph.source.encode()


def render(
    figures: Iterable[str] = (),
    folder: Path = Path("figures"),
    *,
    formats: Iterable[str] = ("svg",),
    look: Look = Look(),
    seed: int = 0,
    layer: Layer | None = None,
    against: Iterable[str] = (),
    results: Path | None = None,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Draws figures, all without names, into a folder, and tells the files.

    Raises
        InvalidInput: an unknown name, format or framework, a format, a layer, frameworks, results or a seed that a
            named figure does not take, a folder that cannot be written, or no font for the language.
        MissingPackage: a framework that is not installed.
    """
    formats = tuple(dict.fromkeys(formats))
    work = sheets(figures, formats, look, seed, layer, tuple(against), results)
    if look.lang == "zh":
        from bncheck.figures.studio.fonts import chinese_family

        chinese_family()
    return make(work, folder, formats, jobs, progress)


def make(
    work: Sequence[Sheet],
    folder: Path,
    formats: tuple[str, ...] = ("svg",),
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Makes drawings in a folder, and tells the files in the order of the work.

    Raises
        InvalidInput: the folder cannot be written.
    """
    _open(folder)
    written: list[Path] = []
    with mapped(min(jobs, len(work))) as in_order:
        for done, paths in enumerate(in_order(partial(_made, folder=folder, formats=formats), work), start=1):
            written += paths
            progress(done, len(work))
    return written


def sheets(
    figures: Iterable[str],
    formats: tuple[str, ...],
    look: Look,
    seed: int,
    layer: Layer | None,
    against: tuple[str, ...] = (),
    results: Path | None = None,
) -> list[Sheet]:
    """What is to be drawn; figures named by the user must be able to take what is asked for."""
    for form in formats:
        if form not in FORMATS:
            raise InvalidInput.unknown("format", form, FORMATS)
    if seed < 0:
        raise InvalidInput("seed", seed, "a whole number of at least 0", "Leave it out for the default.")
    asked = tuple(dict.fromkeys(figures))
    plates = [find(name) for name in asked or names()]
    graphs = [plate for plate in plates if plate.dot is not None]
    layered = [plate for plate in plates if plate.takes("layer")]
    comparing = [plate for plate in plates if plate.takes("against")]
    trained = [plate for plate in plates if plate.takes("results")]
    if formats == ("gv",):
        plates = _able(plates, graphs, asked, "format", "gv", "svg, pdf or png")
    if layer is not None:
        if not layer.is_plain:
            known = [known.name for known in LAYERS.values() if known.is_plain]
            raise InvalidInput("layer", layer.name, f"one of {', '.join(known)}", "Or FILE.py:NAME.")
        plates = _able(plates, layered, asked, "layer", layer.address, "no layer")
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
    drawn = (sheet for plate in plates for sheet in _frames(plate, look, seed, layer))
    return [replace(sheet, against=against, results=results) for sheet in drawn]


def _able(
    plates: list[Plate], able: list[Plate], asked: tuple[str, ...], option: str, value: str, expected: str
) -> list[Plate]:
    unable = [plate.name for plate in plates if plate not in able]
    if asked and unable:
        raise InvalidInput(option, value, f"{expected} for {unable[0]}", f"Leave out {unable[0]}, or --{option}.")
    return able


def _frames(plate: Plate, look: Look, seed: int, layer: Layer | None) -> Iterator[Sheet]:
    if plate.frames is None:
        yield Sheet(plate.name, look, seed, layer)
        return
    count = plate.frames(layer=layer) if layer else plate.frames()
    yield from (Sheet(plate.name, look, seed, layer, frame) for frame in range(1, count + 1))


def _open(folder: Path) -> None:
    """Makes the folder and tries it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try_folder(folder)
    except OSError as error:
        constraint = f"a folder that can be written; {error.strerror}"
        raise InvalidInput("out", str(folder), constraint, "Choose another.") from error


def _made(sheet: Sheet, folder: Path, formats: tuple[str, ...]) -> list[Path]:
    return [write(folder / f"{sheet.stem}.{form}", content) for form, content in sheet.encoded(formats)]
