"""The gallery: every figure in the order of a lecture, as a page of Markdown with the drawings beside it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bncheck.errors import InvalidInput
from bncheck.figures import Plate, find
from bncheck.figures.studio.contact import contact_sheet, thumbnail
from bncheck.figures.studio.page import plain
from bncheck.figures.studio.rendering import MADE, Sheet, is_gallery, on_each
from bncheck.files import write

CONTACT = "contact-sheet.png"


class Shown(NamedTuple):
    """A figure, what is said before it, and of a sequence the frames that are shown."""

    figure: str
    said: str
    frames: tuple[int, ...] = ()


class Chapter(NamedTuple):
    """A part of the lecture: its title, and its figures in order."""

    title: str
    shown: tuple[Shown, ...]


OPENING = """\
# Batch normalization, there and back

What batch norm does, how its gradient comes back, how one finds out that it came back wrong, and what it does for a
network that learns: in figures. It is enough to know what a derivative is. Every number was computed by bncheck as the
figure was drawn; those of the figures called training-…, where networks learn, were measured before, by
`python -m bncheck train`, and are kept with it. The pictures, digits and wines are real. What stands still here moves
in a [page to play with](explore-batch-norm.html).
"""

EXPLORER = "explore-batch-norm.html"
"""The page that hangs beside the drawings, whose numbers move."""

CLOSING = f"""\
## Take them along

`python -m bncheck figures` draws all of them, and all frames of those that are sequences. `--format svg,pdf,png`,
`--preset beamer43`, `--theme dark` and `--lang zh` make them fit your slides; of a sequence the PDF has a page for each
frame, and `--format gif,html` gives one that moves by itself and one that you step through. `--seed` draws other
numbers, and `--layer layer_norm` draws the graphs for another layer or, as `FILE.py:NAME`, for one of your own. The
trainings can be made again, with other seeds or on data of your own: `python -m bncheck train depth --seed 7 --output
mine.json`, and then `python -m bncheck figures training-depth --results mine.json`. In Python each `draw` returns a
`matplotlib.figure.Figure`, which notebooks display.

{MADE}
"""

LECTURE = (
    Chapter(
        "What normalizing means",
        (
            Shown(
                "normal-curve",
                "The ink of a handwritten digit, all its pixels added up, is 381. Is that much? It depends on the other"
                " digits: their mean μ is the place to count from, their standard deviation σ the unit to count in.",
            ),
            Shown(
                "standardize",
                "Batch norm does this to each feature x of a batch: x̂ = (x − μ) / √(σ² + ε), where the small ε only"
                " keeps the root from being zero. Then it lets the network choose a new spread γ and a new centre β:"
                " y = γ x̂ + β.",
            ),
        ),
    ),
    Chapter(
        "Why one does it",
        (
            Shown(
                "pixels-through-sigmoid",
                "A network bends what it computes with a function such as the sigmoid, σ(z) = 1 / (1 + e⁻ᶻ), which"
                " tells numbers apart only near 0. Far from there it is flat: saturated. (With a bracket behind it σ is"
                " this function, without one the standard deviation; both are customary.)",
            ),
            Shown(
                "saturation-sigmoid",
                "Inside a network nobody chooses the scale of z, the number that goes into the sigmoid; it falls where"
                " the weights let it fall. Where the curve is flat the slope is nearly 0, and with it the gradient.",
            ),
            Shown("saturation-tanh", "The same for tanh, which is a sigmoid twice as steep."),
            Shown(
                "saturation-relu",
                "ReLU is flat on one side only, and there exactly: no gradient at all comes through.",
            ),
            Shown(
                "saturation-map",
                "Being flat for one image is no harm, that is how units choose. Being flat for every image is: such a"
                " unit says nothing, and gets no gradient that could change it.",
            ),
            Shown("activation-histograms", "What one layer does the next one inherits."),
        ),
    ),
    Chapter(
        "How a gradient comes back",
        (
            Shown(
                "graph-two-neurons",
                "Why is it bad to be flat? To learn, a network must know how its cost C = (a₂ − t)², the distance from"
                " the answer t that was wanted, changes with each weight. The chain rule says it: walk from C back to"
                " the weight and multiply the slopes on the way.",
            ),
            Shown(
                "cost-slope",
                "The product is a slope: that of the cost, drawn over the weight. Gradient descent goes down it, by as"
                " much as it is steep.",
            ),
            Shown(
                "saturation-depth",
                "A product of twenty small slopes is next to nothing, and of twenty large ones far too much. This is"
                " where normalizing pays: the factor per layer no longer depends on the scale of the weights.",
            ),
        ),
    ),
    Chapter(
        "Back through batch norm",
        (
            Shown(
                "graph-staged",
                "Batch norm is itself a chain of small steps, each with a derivative one knows by heart. m is the"
                " number of values that share a mean, s is √(σ² + ε). Where two lines leave a node, two gradients come"
                " back to it, and add up; and μ, σ² and s, which serve all m values, get back the sum of what all m"
                " send.",
            ),
            Shown(
                "graph-values",
                "Now with numbers: four values of one feature, and the gradient ∂ℓ/∂y that comes to y from behind, from"
                " the cost of the whole network, which from here on is ℓ, the loss.",
            ),
            Shown(
                "graph-sweep",
                "How the red numbers are found: from right to left, one node at a time. It begins with what the loss"
                " sends, and goes through the affine step to x̂; at x − μ two ways meet for the first time; at x all"
                " have arrived.",
                (1, 3, 8, 12),
            ),
            Shown(
                "algorithm",
                "The same once more, as one writes it down: in a graph, in formulas, in code, and in the numbers that"
                " the code leaves. Textbooks call the middle of the way back dxn, dxc, dstd, dvar and dmu.",
                (1, 2),
            ),
            Shown(
                "graph-three-paths",
                "Sorted by the statistic they came through, the contributions to ∂ℓ/∂x are three. Forgetting the second"
                " or the third is the classical mistake: x moves the mean and the variance, too.",
            ),
            Shown(
                "graph-fold",
                "One need not store every step. The chain rule gives six equations; the deviations from a mean sum to"
                " zero; what remains is put in, one equation after the other, until a single line is left: take from"
                " the gradient its mean, take from it its part along x̂, divide by s, times γ.",
                (1, 2, 4, 6),
            ),
        ),
    ),
    Chapter(
        "What that gradient is like",
        (
            Shown(
                "jacobian",
                "The line says that two directions are taken away. One sees them in the matrix of all derivatives"
                " ∂x̂/∂x: shifting all values, or stretching them, leaves x̂ as it was.",
            ),
            Shown(
                "projection",
                "With three values in the group one sees it in space. Whatever gradient arrives, what goes on stands at"
                " right angles to both.",
            ),
            Shown(
                "scale-invariance",
                "So weights in front of batch norm may grow without changing anything but their own gradient.",
            ),
            Shown("eps-regime", "Unless the values hardly differ: then ε, put there only for safety, takes over."),
            Shown(
                "training-bias",
                "Batch norm subtracts the mean, and with it any bias that was added before. On paper the gradient"
                " of such a bias is zero. On a computer it is rounding, and an optimizer takes steps of that, too.",
            ),
            Shown(
                "training-identity",
                "With γ = √(σ² + ε) and β = μ batch norm gives back what came in: nothing is lost, says the paper."
                " So it is, for the outputs. Is the gradient the same?",
            ),
        ),
    ),
    Chapter(
        "In use",
        (
            Shown(
                "graph-train-eval",
                "A single image has no batch. For use after training, a layer keeps running averages of what it saw.",
            ),
            Shown("running-statistics", "How they are averaged is a convention, and frameworks differ in two."),
            Shown(
                "image-shapes",
                "Images have rows and columns besides, and batch norm takes all their pixels together: one mean for"
                " each channel of the whole batch.",
            ),
            Shown(
                "reduction-axes",
                "And which values share a mean is a choice as well, with a name for each.",
            ),
        ),
    ),
    Chapter(
        "Is the gradient right?",
        (
            Shown(
                "graph-check",
                "A network with a wrong backward pass may still learn, and often as well as with the right one: the"
                " last figure of this page shows it. One must look. Node by node against the truth, a mistake is found"
                " where it was made.",
            ),
            Shown(
                "planted-bugs",
                "Which mistakes? These are made again and again. Most are plain to see here, and two are too small for"
                " the eye.",
                (1, 2),
            ),
            Shown(
                "fd-error",
                "Where does the truth come from? Moving each x by a small h and looking is the usual way, and a rough"
                " one. The dotted lines are what rounding alone can do to a good implementation.",
            ),
            Shown(
                "accuracy-offset",
                "A formula may be right and its arithmetic wrong. The variance as E[x²] − E[x]² subtracts two large"
                " numbers that are nearly the same. (Some frameworks do so: with `--against torch,jax,keras` their"
                " lines are drawn, too.)",
            ),
            Shown(
                "vacuity",
                "And a check must be able to fail. Plant mistakes, and count how many it sees: with one value in a"
                " group, or with the sum of y as the loss, the true ∂ℓ/∂x is 0, and so is many a wrong one.",
            ),
        ),
    ),
    Chapter(
        "Does it help?",
        (
            Shown(
                "training-initial-scale",
                "Now the networks learn. First the question with which a book on deep learning by hand introduces batch"
                " norm: from which initial weights does a network of five layers learn at all? Look for where the plain"
                " network is ahead, too.",
            ),
            Shown(
                "training-learning-rate",
                "Ioffe and Szegedy, who proposed batch norm in 2015, promised that it allows higher learning rates."
                " How much higher, in the same network? And, which they do not ask: does the highest rate of all end"
                " better? It hardly does.",
            ),
            Shown(
                "training-percentiles",
                "Their explanation: as the weights in front of a layer learn, what comes into it moves, and the layer"
                " has to follow. They called it internal covariate shift, and showed what comes into one sigmoid."
                " Behind batch norm it stays where it is; it must, for its mean is β and its spread |γ|. Whether that"
                " is why the network learns faster, the picture does not say.",
            ),
            Shown(
                "training-depth",
                "Courses say that without batch norm the gradients of early layers vanish with depth. Of sigmoids"
                " that is true. With tanh or ReLU, and initial weights proper to them, nothing vanishes.",
            ),
            Shown(
                "training-dense",
                "One wide layer needs no help. A course adds batch norm all the same, and the loss on the training data"
                " drops tenfold. Whether the loss on the test data drops as well depends on a setting that no gradient"
                " sees: how slowly the running statistics follow.",
            ),
            Shown(
                "training-convolution",
                "Another course's convolutional network learns with batch norm, and without it does not leave"
                " chance. Yet its evaluation says for epochs that it guesses. Users have reported that as a bug. The"
                " network is right, its running statistics are late.",
            ),
            Shown(
                "training-batch-size",
                "The statistics are those of a batch, so it must not be small. Wu and He asked in 2018 how small, and"
                " proposed group norm, which does not care. Ours is the harsher case: a dense layer with a batch of two"
                " estimates a variance from two numbers.",
            ),
        ),
    ),
    Chapter(
        "Why does it help?",
        (
            Shown(
                "training-landscape",
                "One answer was internal covariate shift, above. A second: the loss becomes smoother, so that a"
                " gradient can be trusted for a longer step (Santurkar and others, 2018; in their networks batch"
                " norm helped even where the inputs were made to shift on purpose). A network whose loss is lower is"
                " elsewhere, so we compare at equal loss. Then it depends on the rate, and on how long a step one"
                " asks about.",
            ),
            Shown(
                "training-tails",
                "A third: before training, a few entries of the gradient are far larger than all others, unless"
                " there is batch norm, and they force small steps (Bjorck and others, 2018). So it is with ReLUs."
                " With tanh there is little to cure.",
            ),
            Shown(
                "training-effective-rate",
                "A fourth answer: scale. The gradient of weights in front of batch norm stands at a right angle to"
                " them, so that every step makes them longer, and longer weights learn more slowly: batch norm lowers"
                " the learning rate by itself (van Laarhoven 2017; Arora, Li and Lyu 2019). That γ and β are not"
                " protected in this way, one sees at large rates.",
            ),
            Shown(
                "training-explosion",
                "And what is said too rarely: it does not cure every ill. Yang and others proved in 2019 that in deep"
                " random networks batch norm itself makes gradients explode, by a factor that can be computed."
                " Networks in use have paths around it.",
            ),
        ),
    ),
    Chapter(
        "Would one notice?",
        (
            Shown(
                "training-wrong-gradients",
                "Last, the reason for all the checking. Take each of the mistakes that people make in a normalization,"
                " train with it, and compare the learning curve with the right one.",
            ),
        ),
    ),
)


def hang(folder: Path, jobs: int = 1, progress: Callable[[int, int], None] = lambda done, total: None) -> list[Path]:
    """Draws the gallery, a contact sheet of it, and its page, `README.md`; tells the files.

    Raises
        InvalidInput: the folder cannot be written, or its README.md is not a gallery's.
    """
    if (folder / "README.md").exists() and not is_gallery(folder):
        raise InvalidInput(
            "out", str(folder), "a folder without a README.md that is not a gallery's", "Choose another."
        )
    written: list[Path] = []
    pictures: list[bytes] = []
    for paths, small in on_each(partial(_hung, folder=folder), list(sheets()), folder, jobs, progress):
        written += paths
        pictures += small
    written.append(write(folder / CONTACT, contact_sheet([*tiles(pictures)])))
    return [*written, write(folder / "README.md", page())]


def _hung(sheet: Sheet, folder: Path) -> tuple[list[Path], list[bytes]]:
    """A figure's files, and its pictures for the contact sheet."""
    pages = sheet.pages()
    names = zip(sheet.stems, pages, strict=True)
    return [write(folder / f"{stem}.svg", page.encoded("svg")) for stem, page in names], [*map(thumbnail, pages)]


def sheets() -> Iterator[Sheet]:
    """The figures of the gallery, in its order, each with the frames that are shown."""
    for chapter in LECTURE:
        yield from (Sheet(shown.figure, frames=shown.frames) for shown in chapter.shown)


def tiles(pictures: Iterable[bytes]) -> Iterator[tuple[str, bytes | None]]:
    """What the contact sheet shows: each chapter's title, and its drawings with their names."""
    left = iter(pictures)
    for chapter in LECTURE:
        yield chapter.title, None
        for shown in chapter.shown:
            yield from ((stem, next(left)) for stem in Sheet(shown.figure, frames=shown.frames).stems)


def page() -> str:
    """The page in Markdown."""
    parts = [OPENING, f"![All drawings, in this order]({CONTACT})\n", " ·\n".join(map(_link, LECTURE)) + "\n"]
    for chapter in LECTURE:
        parts.append(f"## {chapter.title}\n")
        parts += [_entry(shown, find(shown.figure)) for shown in chapter.shown]
    return "\n".join([*parts, CLOSING])


def _link(chapter: Chapter) -> str:
    """A link to a chapter's heading, under the name that it has on GitHub.

    >>> _link(Chapter("What is it, then?", ()))
    '[What is it, then?](#what-is-it-then)'
    """
    return f"[{chapter.title}](#{re.sub('[^a-z ]', '', chapter.title.lower()).replace(' ', '-')})"


def _entry(shown: Shown, plate: Plate) -> str:
    title = plain(plate.about.title.en)
    steps = [f", step {frame}" for frame in shown.frames] or [""]
    stems = Sheet(shown.figure, frames=shown.frames).stems
    images = [f"![{title}{step}]({stem}.svg)" for step, stem in zip(steps, stems, strict=True)]
    module = shown.figure.replace("-", "_")
    frame = f"frame={shown.frames[0]}" if plate.frames else ""
    called = f"from bncheck.figures import {module}; {module}.draw({frame})"
    asked = f"python -m bncheck figures {shown.figure}"
    read = f"**{title}.** {plain(plate.about.reading.en)}"
    return "\n\n".join([_filled(shown.said), *images, _filled(read), f"`{asked}` · `{called}`"]) + "\n"


def _filled(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)
