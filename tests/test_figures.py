"""Figures keep their promises: nothing clipped or overlapping, the same bytes everywhere, bad requests in a line."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import some
from looks import spoken
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from bncheck import LAYERS, InvalidInput, Layer
from bncheck.cli import run
from bncheck.figures import find, names
from bncheck.figures.studio import fonts
from bncheck.figures.studio.look import LANGUAGES, PRESETS, ROLES, THEMES, Look
from bncheck.figures.studio.page import plain
from bncheck.figures.studio.rendering import FORMATS, render, sheets
from bncheck.figures.studio.structure import flaws, small_print

LOOKS = [
    Look("beamer169", "light", "en"),
    Look("beamer43", "dark", "zh"),
    Look("ppt169", "light", "zh"),
    Look("a4", "dark", "en"),
    Look("half", "light", "en"),
    Look("half", "dark", "zh"),
]
"""Every preset, theme and language, and both languages on the smallest page."""

PLAIN = [layer for layer in LAYERS.values() if layer.is_plain]


def test_the_looks_cover_every_choice() -> None:
    assert {look.preset for look in LOOKS} == set(PRESETS)
    assert {look.theme for look in LOOKS} == set(THEMES)
    assert {look.lang for look in LOOKS} == set(LANGUAGES)


def clean(name: str, look: Look, layer: Layer | None = None) -> None:
    for sheet in sheets([name], ("svg",), look, 0, layer):
        for stem, page in zip(sheet.stems, sheet.pages(), strict=True):
            assert flaws(page) + small_print(page) == [], stem


@pytest.mark.parametrize("name", names())
def test_nothing_is_clipped_overlapping_or_struck_through(name: str) -> None:
    clean(name, Look())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "look"), some([(name,) for name in names()], spoken(LOOKS[1:])), ids=str)
def test_so_in_every_look(name: str, look: Look) -> None:
    clean(name, look)


@pytest.mark.parametrize("name", ["graph-values", "jacobian", "vacuity", "saturation-depth", "standardize"])
def test_so_where_room_is_scarce(name: str) -> None:
    clean(name, Look("half", "dark", "en"))


@pytest.mark.slow
@pytest.mark.parametrize("layer", [layer.name for layer in PLAIN[1:]])
@pytest.mark.parametrize("name", [name for name in names() if find(name).takes("layer")])
def test_so_for_every_layer(name: str, layer: str) -> None:
    clean(name, Look(), LAYERS[layer])


def test_so_for_a_layer_without_a_mean() -> None:
    clean("graph-staged", Look(), LAYERS["rms_norm"])
    clean("graph-three-paths", Look(), LAYERS["rms_norm"])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: f.text(0.97, 0.5, "too far to the right"), "leaves the page"),
        (lambda f: f.text(0.3, 0.5, r"half of $\bar{\mu}"), "a formula's source"),
        (lambda f: (f.text(0.3, 0.5, "one"), f.text(0.31, 0.51, "other")), "overlaps"),
        (lambda f: f.text(0.3, 0.5, "tiny", fontsize=4), "too small"),
        (lambda f: f.add_subplot().add_patch(Rectangle((0.5, -0.1), 0.1, 0.3, gid="edge")), "leaves its axes"),
        (lambda f: (a := f.add_subplot(), a.plot([0, 1], [0.5, 0.5]), a.text(0.5, 0.499, "word")), "crossed"),
    ],
)
def test_each_flaw_can_be_found(spoil: Callable[[Figure], object], said: str) -> None:
    figure = Figure()
    assert flaws(figure) == []
    spoil(figure)
    assert [flaw for flaw in flaws(figure) if said in flaw] != []


@pytest.mark.parametrize("name", names())
def test_every_figure_has_its_words_in_both_languages(name: str) -> None:
    for en, zh in find(name).about:
        assert en
        assert re.search("[\u4e00-\u9fff]", zh)
        assert not re.search("[\u4e00-\u9fff]", en)


@pytest.mark.filterwarnings("ignore:Glyph .* missing")
@pytest.mark.parametrize("name", names())
def test_nothing_is_left_in_english_on_a_chinese_page(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of its words, which need no font."""
    family = fonts.found_family() or "DejaVu Sans"
    monkeypatch.setattr(fonts, "found_family", lambda: family)
    page = find(name).draw(Look(lang="zh"))
    texts: Any = page.findobj(lambda artist: isinstance(artist, Text) and "monospace" not in artist.get_fontfamily())
    words = {word for text in texts for word in re.findall("[A-Za-z]{3,}", without_formulas(text))}  # code is code
    assert words <= PROPER, words - PROPER


FRAMEWORKS, OPTIMIZERS = {"PyTorch", "Keras", "ONNX"}, {"SGD", "Adam", "RMSprop"}
PROPER = {"seed", "bncheck", "sigmoid", "tanh", "ReLU", "float", "ulp", "digits", *FRAMEWORKS, *OPTIMIZERS}
PROPER |= {"BatchNorm", "eps"}
"""What a Chinese lecturer says as it is."""


def without_formulas(text: Text) -> str:
    """Its words; code has none."""
    code = text.get_fontfamily() == ["DejaVu Sans Mono"]
    return re.sub(r"\$[^$]*\$", "", text.get_text()) if text.get_visible() and not code else ""


def test_every_layer_has_a_name_in_both_languages() -> None:
    for layer in PLAIN:
        assert re.fullmatch("[a-z ]+", Look().layer(layer.name))
        assert re.fullmatch("[\u4e00-\u9fff]+", Look(lang="zh").layer(layer.name))


@pytest.mark.parametrize("name", names())
def test_no_words_name_a_colour_that_a_theme_turns_round(name: str) -> None:
    for en, zh in find(name).about:
        assert not re.search("black|white", en, re.IGNORECASE)
        assert not re.search("[黑白]", zh)


@pytest.mark.parametrize("name", names())
def test_formulas_are_typed_where_mathematics_is_not_known(name: str) -> None:
    for words in (word for pair in find(name).about for word in pair):
        typed = plain(words)
        commands = re.findall(r"\\([A-Za-z]+)", words)
        assert [left for left in (*commands, *"\\${}") if left in typed] == []
        letters = [c for c in commands if c not in ("hat", "bar")]
        assert len(re.findall("[αβγδεμσ∂ℓ≥≤·√←∑]", typed)) >= len(letters), "each command has a letter"


@pytest.mark.slow
def test_two_processes_give_the_same_bytes(tmp_path: Path) -> None:
    """In another order of work, in other processes, with another hash seed."""
    formats = ",".join(FORMATS)
    for folder, seed in (("a", "0"), ("b", "1")):
        command = [sys.executable, "-m", "bncheck", "figures", "graph-staged", "graph-fold", "saturation-sigmoid"]
        command += ["--out", str(tmp_path / folder), "--format", formats, "--jobs", "2"]
        environment = {"PYTHONHASHSEED": seed, "PATH": "", "PYTHONPATH": ":".join(sys.path)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert done.stderr == ""
    first, second = (sorted((tmp_path / folder).iterdir()) for folder in ("a", "b"))
    assert {path.suffix.removeprefix(".") for path in first} == set(FORMATS)
    for one, other in zip(first, second, strict=True):
        assert (one.name, one.read_bytes()) == (other.name, other.read_bytes())


def test_another_seed_gives_another_figure() -> None:
    draw = find("saturation-sigmoid").draw
    assert draw(Look(), 0).encoded("svg").replace(b"seed=0", b"seed=1") != draw(Look(), 1).encoded("svg")


@pytest.mark.parametrize("form", ["svg", "pdf", "png"])
def test_files_say_what_they_are(form: str) -> None:
    page = find("graph-staged").draw(Look(), 7)
    content = page.encoded(form)
    text = content.replace(b"\0", b"").decode("latin-1")  # PDF writes two bytes for each letter
    for told in ("Every step has its own derivative", "seed=7", "bncheck 0."):
        assert told in text, told
    assert not re.search(rb"20[2-9]\d-\d\d-\d\d|D:20\d\d", content)


def test_missing_font_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(fonts, "found_family", lambda: None)
    assert run(["figures", "graph-staged", "--lang", "zh", "--out", "nowhere"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("bncheck: lang=zh, expected a font with Chinese characters")
    assert said.count("\n") == 1
    assert not Path("nowhere").exists()
    assert fonts.described().startswith("none;")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["graph-stagd"], "Did you mean graph-staged?"),
        (["--format", "svgg"], "Did you mean svg?"),
        (["--format", "png", "--dpi", "49"], "dpi=49, expected a whole number from 50 to 600."),
        (["--format", "png", "--dpi", "601"], "dpi=601, expected a whole number from 50 to 600."),
        (["--dpi", "300"], "dpi=300, expected no dpi for svg. Add png or gif to the formats, or leave it out."),
        (["--format", "png", "--svg-text"], "svg_text=True, expected no svg_text for png. Add svg or html to the"),
        (["--preset", "beamer"], "preset=beamer, expected one of"),
        (["--theme", "drak"], "Did you mean dark?"),
        (["--lang", "de"], "lang=de, expected one of en, zh."),
        (["--jobs", "0"], "jobs=0, expected a whole number of at least 1."),
        (["--seed", "-1"], "seed=-1, expected a whole number of at least 0."),
        (["--layer", "batchnorm"], "Did you mean batch_norm?"),
        (["saturation-sigmoid", "--layer", "rms_norm"], "expected no layer for saturation-sigmoid."),
        (["saturation-sigmoid", "--format", "gv"], "format=gv, expected svg, pdf or png for saturation-sigmoid."),
        (["saturation-sigmoid", "--format", "gif,html"], "format=gif,html, expected svg, pdf or png for saturation-"),
        (["saturation-sigmoid", "--against", "torch"], "expected no frameworks for saturation-sigmoid."),
        (["--against", "tensorflow"], "against=tensorflow, expected one of jax, keras, onnxruntime, torch."),
        (["--against", "onnxruntime"], "expected a framework that has gradients. Choose among jax, keras, torch."),
        (["training-depth", "--seed", "3"], "expected no seed for training-depth, which is drawn from results."),
        (["saturation-sigmoid", "--results", "r.json"], "results=r.json, expected no results for saturation-sigmoid."),
        (["training-depth", "--results", "r.json"], "results=r.json, expected a file that can be read."),
        (["--gallery", "--theme", "dark"], "theme=dark, expected no theme beside --gallery. Leave out theme, or"),
        (["--gallery", "--dpi", "300"], "dpi=300, expected no dpi beside --gallery."),
        (["--gallery", "vacuity"], "names=vacuity, expected no names beside --gallery. Leave out names, or"),
        (["--out", "/dev/null/here"], "out=/dev/null/here, expected a folder that can be written; "),
    ],
)
def test_bad_requests_are_one_line(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["figures", *arguments]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.err.count("\n") == 1
    assert shown.out == ""
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_file_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:100])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", stop)
    with pytest.raises(KeyboardInterrupt):
        render(["graph-staged"], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_list_tells_every_figure_and_loads_nothing_heavy() -> None:
    code = "import sys; from bncheck.cli import run; run(['figures', '--list']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [line for line in done.stdout.splitlines() if not line.startswith(" ")] == list(names())
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert not {"matplotlib", "sympy", "sklearn", "hypothesis", "torch", "flint", "graphviz"} & set(done.stderr.split())


def test_graphs_are_drawn_for_a_definition_of_ones_own(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(
        "def half_norm(x, gamma=1, eps=1e-5, *, mean, sqrt):\n"
        "    square = mean(x * x)\n"
        "    xhat = x / sqrt(sqrt(square + eps))\n"
        "    return {'square': square, 'xhat': xhat, 'y': gamma * xhat}\n"
    )
    assert run(["figures", "--layer", f"{mine}:half_norm", "--format", "svg,gv", "--out", str(tmp_path / "out")]) == 0
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"graph-staged-mine-half-norm.svg", "graph-staged-mine-half-norm.gv"} <= written


def test_trainings_are_drawn_from_results_of_ones_own(tmp_path: Path) -> None:
    """Of two seeds and a quick run; the others are drawn from what is kept."""
    mine = tmp_path / "mine.json"
    assert run(["train", "tails", "--quick", "--seeds", "2", "--seed", "4", "--jobs", "1", "--output", str(mine)]) == 0
    assert run(["figures", "--results", str(mine), "--out", str(tmp_path / "out")]) == 0
    (drawn,) = (tmp_path / "out").iterdir()
    assert drawn.name == "training-tails-mine.svg"
    assert "digits · seed 4, 5 · quick" in drawn.read_text(encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"expected other results for training-depth"):
        render(["training-depth"], tmp_path / "out", results=mine)


TRAININGS = [name for name in names() if name.startswith("training-")]


@pytest.mark.parametrize("name", TRAININGS)
def test_every_experiment_has_a_figure_that_can_draw_less(name: str, tmp_path: Path) -> None:
    """One seed only, and a quick run: nothing to draw a band from, and settings that are missing."""
    from bncheck.training.laboratory.results import Results, encoded, kept
    from bncheck.training.running import train

    experiment = name.removeprefix("training-")
    whole = kept()[experiment]
    few = Results(experiment, tuple(run for run in whole.runs if run.seed == 1), whole.made)
    (tmp_path / "few.json").write_text(encoded([few]), encoding="utf-8")
    assert flaws(find(name).draw(Look(), results=tmp_path / "few.json")) == []
    train([experiment], seeds=[0], quick=True, output=tmp_path / "quick.json")
    find(name).draw(Look(), results=tmp_path / "quick.json")


def test_every_experiment_has_its_figure() -> None:
    from bncheck.training import experiments

    assert sorted(TRAININGS) == sorted(f"training-{name}" for name in experiments.names())


def test_colours_can_be_read_on_their_paper() -> None:
    """A contrast of 4.5 to 1 for ink and every role, as WCAG asks of text."""
    for theme, words in THEMES.items():
        for name, role in ROLES.items():
            assert contrast(getattr(role.colour, theme), words["paper"]) >= 4.5, (theme, name)
        assert contrast(words["muted"], words["paper"]) >= 4.5
    assert contrast("#ffff00", "#ffffff") < 4.5


def contrast(colour: str, paper: str) -> float:
    lighter, darker = sorted((luminance(colour), luminance(paper)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    channels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_roles_of_one_colour_and_one_sign_are_one() -> None:
    """Roles that may meet on a figure differ in more than their colour."""
    together = ["direct mean_path variance_path", "first second third fourth", "forward backward", "without with"]
    for group in (group.split() for group in [*together, "correct wrong", "function slope"]):
        for sign in ("colour", "dash", "marker"):
            alike = sign == "marker" and "forward" in group  # which is never drawn with markers
            assert alike or len({str(getattr(ROLES[name], sign)) for name in group}) == len(group), (group, sign)


def test_unknown_figure() -> None:
    with pytest.raises(InvalidInput, match="Did you mean saturation-sigmoid"):
        find("saturation-sigmod")
